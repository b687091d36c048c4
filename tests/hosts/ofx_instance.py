"""An instance of the effect in the test host, and what users and timelines do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.hosts import ofx_abi
from tests.hosts.link import Pixels
from tests.hosts.ofx_images import Clip, Content
from tests.hosts.ofx_properties import PropertySet
from tests.hosts.ofx_suites import Parameter

if TYPE_CHECKING:
    from tests.hosts.ofx_host import Descriptor, Host


@dataclass
class Rendered:
    """What a render gave: its status, the picture, and the message that lay on it."""

    status: int
    pixels: Pixels
    message: str


class Effect:
    """One instance. ``effect.recreated()`` is what hosts do to it on any occasion."""

    def __init__(
        self,
        host: Host,
        context: str,
        described: Descriptor,
        contents: Mapping[str, Content],
        values: Mapping[str, Any],
    ) -> None:
        self.host = host
        self.context = context
        self.described = described
        self.contents = contents
        own = {"OfxImageEffectPropContext": context, **host.traits.properties.get("instance", {})}
        self.properties = PropertySet(host.handles, own)
        self.handle = host.handles.new(self)
        self.persistent_message = ""
        self.clips = {name: self._clip(name) for name in described.clips}
        self.parameters = {name: Parameter(host, props) for name, props in described.parameters.items()}
        for name, value in values.items():
            self.parameters[name].value = value
        assert host.act("OfxActionCreateInstance", self.handle) in (ofx_abi.OK, ofx_abi.REPLY_DEFAULT)

    def destroy(self) -> None:
        assert self.host.act("OfxActionDestroyInstance", self.handle) in (ofx_abi.OK, ofx_abi.REPLY_DEFAULT)
        for thing in (self, self.properties, *self.parameters.values(), *self.clips.values()):
            self.host.handles.drop(thing.handle)
        for clip in self.clips.values():
            self.host.handles.drop(clip.properties.handle)

    def recreated(self) -> Effect:
        """Another instance with the same values in place of this one."""
        values = {name: parameter.value for name, parameter in self.parameters.items()}
        self.destroy()
        return Effect(self.host, self.context, self.described, self.contents, values)

    def value(self, name: str) -> Any:
        return self.parameters[name].value

    @property
    def status(self) -> str:
        return str(self.value("status"))

    def set(self, name: str, value: Any) -> int:
        """The user changes a parameter."""
        self.parameters[name].value = value
        return self._changed(name)

    def press(self, button: str) -> int:
        """The user presses a button; the status of the action."""
        return self._changed(button)

    def open_panel(self) -> int:
        return self.host.act("OfxActionBeginInstanceEdit", self.handle)

    def is_identity(self, time: float) -> bool:
        """Whether the effect says that it shows the source."""
        with self._at(time) as arguments, PropertySet(self.host.handles) as answers:
            status = self.host.act("OfxImageEffectActionIsIdentity", self.handle, arguments, answers)
        return status == ofx_abi.OK and answers.values["OfxPropName"] == ["Source"]

    def clip_preferences(self) -> dict[str, list[Any]]:
        with PropertySet(self.host.handles) as answers:
            assert self.host.act("OfxImageEffectActionGetClipPreferences", self.handle, None, answers) == ofx_abi.OK
        return answers.values

    def render(
        self, time: float, *, scale: float = 1.0, field: str = "OfxFieldNone", more: Mapping[str, Any] | None = None
    ) -> Rendered:
        """Renders the whole frame into memory that was full of rubbish before."""
        source = self.contents["Source"](time)
        assert source is not None
        host = self.host
        layout = host.traits.output_layout or host.traits.layout
        x, y = layout.origin
        asked = {
            "OfxImageEffectPropRenderScale": [scale, scale],
            "OfxImageEffectPropRenderWindow": [x, y, x + source.shape[1], y + source.shape[0]],
            "OfxImageEffectPropFieldToRender": field,
            **(more or {}),
        }
        rubbish = np.frombuffer(b"\xcd" * source.nbytes, source.dtype).reshape(source.shape)
        host.acting.time = time
        host.acting.rubbish = rubbish
        host.acting.output = None
        with self._at(time, asked) as arguments:
            status = host.act("OfxImageEffectActionRender", self.handle, arguments)
        written = host.acting.output
        return Rendered(status, rubbish if written is None else written.pixels(), self.persistent_message)

    def _clip(self, name: str) -> Clip:
        if name == "Output":
            return self.host.clip(name, lambda time: self.host.acting.rubbish)
        return self.host.clip(name, self.contents.get(name))

    def _changed(self, name: str) -> int:
        arguments = {
            "OfxPropType": "OfxTypeParameter",
            "OfxPropName": name,
            "OfxPropChangeReason": "OfxChangeUserEdited",
            "OfxPropTime": 0.0,
        }
        with PropertySet(self.host.handles, arguments) as changed:
            return self.host.act("OfxActionInstanceChanged", self.handle, changed)

    def _at(self, time: float, more: Mapping[str, Any] | None = None) -> PropertySet:
        return PropertySet(self.host.handles, {"OfxPropTime": float(time), **(more or {})})
