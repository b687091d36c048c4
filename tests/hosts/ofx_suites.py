"""The suites of the test host that work on effects: images, parameters, messages, progress and the rest."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.hosts import ofx_abi
from tests.hosts.ofx_images import Clip, HostImage, ImageFaults, lend
from tests.hosts.ofx_properties import PropertySet, Refused

if TYPE_CHECKING:
    from tests.hosts.ofx_host import Host

RENDER, CHANGED = "OfxImageEffectActionRender", "OfxActionInstanceChanged"


class Suite:
    def __init__(self, host: Host) -> None:
        self.host = host
        self.handles = host.handles

    def must(self, allowed: bool, what: str) -> None:
        if not allowed:
            self.host.violations.append(f"{what} in {self.host.acting.name}")


class ImageEffectSuite(Suite):
    def getPropertySet(self, effect: int, handle: Any) -> None:
        handle[0] = self.handles.find(effect, object).properties.handle

    def getParamSet(self, effect: int, handle: Any) -> None:
        handle[0] = effect

    def clipDefine(self, effect: int, name: bytes, handle: Any) -> None:
        properties = PropertySet(self.handles)
        self.handles.find(effect, object).clips[name.decode()] = properties
        handle[0] = properties.handle

    def clipGetHandle(self, effect: int, name: bytes, handle: Any, properties: Any) -> None:
        clip = self.handles.find(effect, object).clips.get(name.decode())
        if not isinstance(clip, Clip):
            raise Refused(ofx_abi.UNKNOWN)
        handle[0] = clip.handle
        if properties:
            properties[0] = clip.properties.handle

    def clipGetPropertySet(self, clip: int, properties: Any) -> None:
        properties[0] = self.handles.find(clip, Clip).properties.handle

    def clipGetImage(self, handle: int, time: float, _: Any, image: Any) -> None:
        clip: Clip = self.handles.find(handle, Clip)
        acting, traits = self.host.acting, self.host.traits
        self.must(acting.name == RENDER or (acting.name == CHANGED and acting.by_user), f"image of {clip.name} fetched")
        if acting.name == RENDER and not traits.temporal_access:
            time = acting.time  # what MLT does
        pixels = clip.content(time) if clip.content else None
        if pixels is None:
            raise Refused(ofx_abi.FAILED)
        output = clip.name == "Output"
        layout = traits.output_layout if output and traits.output_layout else traits.layout
        lent = HostImage(pixels, layout)
        faults = traits.faults.get(clip.name, ImageFaults())
        image[0] = lend(self.handles, clip, lent, faults, traits.properties.get("image", {}))
        if output:
            acting.output = lent

    def clipReleaseImage(self, handle: int) -> None:
        properties = self.handles.find(handle, PropertySet)
        for clip in self.handles.all(Clip):
            if handle in clip.lent:
                if not clip.lent.pop(handle).intact():
                    self.host.violations.append(f"{clip.name} was written beside its pixels")
                self.handles.drop(properties.handle)
                return
        raise Refused(ofx_abi.BAD_HANDLE)

    def abort(self, effect: int) -> int:
        return int(self.host.abort())


class ParameterSuite(Suite):
    def paramDefine(self, effect: int, kind: bytes, name: bytes, handle: Any) -> None:
        properties = PropertySet(self.handles, {"OfxParamPropType": kind.decode()})
        parameters = self.handles.find(effect, object).parameters
        if name.decode() in parameters:
            raise Refused(ofx_abi.EXISTS)
        parameters[name.decode()] = properties
        if handle:
            handle[0] = properties.handle

    def paramGetHandle(self, effect: int, name: bytes, handle: Any, properties: Any) -> None:
        parameter = self.handles.find(effect, object).parameters.get(name.decode())
        if not isinstance(parameter, Parameter):
            raise Refused(ofx_abi.UNKNOWN)
        handle[0] = parameter.handle
        if properties:
            properties[0] = parameter.properties.handle

    def paramGetValue(self, handle: int, address: int) -> None:
        parameter: Parameter = self.handles.find(handle, Parameter)
        if isinstance(parameter.value, str):
            ctypes.c_void_p.from_address(address).value = parameter.properties.address_of(parameter.value)
        elif isinstance(parameter.value, float):
            ctypes.c_double.from_address(address).value = parameter.value
        else:
            ctypes.c_int.from_address(address).value = parameter.value

    def paramSetValue(self, handle: int, word: int | None, number: float) -> None:
        parameter: Parameter = self.handles.find(handle, Parameter)
        self.must(self.host.acting.name not in (RENDER, None), "a parameter was written")
        if isinstance(parameter.value, str):
            parameter.value = ctypes.string_at(word or 0).decode()
        elif isinstance(parameter.value, float):
            parameter.value = number
        else:
            parameter.value = ctypes.c_int(word or 0).value
        parameter.writes += 1


class Parameter:
    """A parameter of an instance."""

    def __init__(self, host: Host, described: PropertySet) -> None:
        self.properties = described
        self.handle = host.handles.new(self)
        self.writes = 0
        usual = described.values.get("OfxParamPropDefault")
        self.value: Any = usual[0] if usual else 0


class MessageSuite(Suite):
    def message(self, effect: int, kind: bytes, _: bytes, form: bytes, text: bytes) -> None:
        self._keep(kind.decode(), form, text)

    def setPersistentMessage(self, effect: int, kind: bytes, _: bytes, form: bytes, text: bytes) -> None:
        self._keep(f"persistent {kind.decode()}", form, text)
        self.handles.find(effect, object).persistent_message = text.decode()

    def clearPersistentMessage(self, effect: int) -> None:
        self.handles.find(effect, object).persistent_message = ""

    def _keep(self, kind: str, form: bytes, text: bytes) -> None:
        self.must(form == b"%s", "a text was used as a format")
        self.host.messages.append((kind, text.decode()))


class ProgressSuite(Suite):
    def progressStart(self, effect: int, label: bytes) -> None:
        self.must(self.host.acting.name == CHANGED, "a progress bar was opened")
        self.host.progress.append(0.0)

    def progressUpdate(self, effect: int, share: float) -> int:
        self.host.progress.append(share)
        return ofx_abi.REPLY_NO if self.host.stop_progress(share) else ofx_abi.OK

    def progressEnd(self, effect: int) -> None:
        self.host.progress.append(1.0)


class TimeLineSuite(Suite):
    def getTime(self, effect: int, time: Any) -> None:
        time[0] = 0.0

    def getTimeBounds(self, effect: int, first: Any, last: Any) -> None:
        first[0], last[0] = 0.0, 9.0


class MemorySuite(Suite):
    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._blocks: dict[int, np.ndarray] = {}

    def memoryAlloc(self, effect: int, size: int, address: Any) -> None:
        block = np.zeros(size, np.uint8)
        address[0] = block.ctypes.data
        self._blocks[block.ctypes.data] = block

    def memoryFree(self, address: int) -> None:
        del self._blocks[address]


class MultiThreadSuite(Suite):
    def multiThread(self, function: Any, count: int, argument: int) -> None:
        threads = [threading.Thread(target=function, args=(index, count, argument)) for index in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def multiThreadNumCPUs(self, count: Any) -> None:
        count[0] = os.cpu_count() or 1


SUITES: dict[str, type[Suite]] = {
    "OfxImageEffectSuite": ImageEffectSuite,
    "OfxParameterSuite": ParameterSuite,
    "OfxMessageSuite": MessageSuite,
    "OfxProgressSuite": ProgressSuite,
    "OfxTimeLineSuite": TimeLineSuite,
    "OfxMemorySuite": MemorySuite,
    "OfxMultiThreadSuite": MultiThreadSuite,
}
