"""An OpenFX host for tests: loads a plugin, lends it images, and misbehaves on demand.

::

    host = Host(plugin_path, traits=Traits(temporal_access=True))
    effect = host.create("OfxImageEffectContextGeneral", clips={"Source": lambda time: frames[int(time)]})
    effect.set("captions", "1: a red ball")
    effect.press("analyse")
    picture = effect.render(3).pixels

What the plugin does against the rules of the API (an image fetched at the wrong moment, a parameter written while
rendering, an image not given back) is a line in ``host.violations``.
"""

from __future__ import annotations

import ctypes
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts import ofx_abi, ofx_suites
from tests.hosts.ofx_images import Clip, Content, ImageFaults, Layout
from tests.hosts.ofx_instance import Effect
from tests.hosts.ofx_properties import Handles, PropertySet, PropertySuite, Refused

FILTER, GENERAL = "OfxImageEffectContextFilter", "OfxImageEffectContextGeneral"


@dataclass
class Traits:
    """What a host is like.

    Attributes:
        missing: suites it does not have, such as ("OfxMessageSuite", 2), or all versions of a name.
        properties: of its clips, instances and images, by the type's name ("clip", "instance", "image").
        clip_range: whether clips tell their frames.
        failing: functions that fail, with their status, such as {"clipGetImage": 1}.
    """

    name: str = "org.mive.TestHost"
    temporal_access: bool = False
    missing: tuple[str | tuple[str, int], ...] = ()
    layout: Layout = field(default_factory=Layout)
    output_layout: Layout | None = None
    clip_range: tuple[float, float] | None = (0.0, 9.0)
    properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, ImageFaults] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)


class Descriptor:
    """An effect as the plugin describes it: properties, clips and parameters."""

    def __init__(self, handles: Handles) -> None:
        self.properties = PropertySet(handles)
        self.clips: dict[str, PropertySet] = {}
        self.parameters: dict[str, PropertySet] = {}
        self.handle = handles.new(self)


class Host:
    """One loaded plugin and its effects.

    Attributes:
        messages: (type, text) of everything the plugin said; persistent ones as ("persistent type", text).
        progress: shares that the plugin reported.
        stop_progress: says whether the user presses Cancel at a share.
        abort: says whether rendering is to be aborted.
        violations: breaches of the API's rules, and exceptions inside this host.
    """

    def __init__(self, library: Path, traits: Traits | None = None) -> None:
        self.traits = traits or Traits()
        self.handles = Handles()
        self.messages: list[tuple[str, str]] = []
        self.progress: list[float] = []
        self.stop_progress: Callable[[float], bool] = lambda share: False
        self.abort: Callable[[], bool] = lambda: False
        self.violations: list[str] = []
        self.acting = threading.local()
        self._library = ctypes.CDLL(str(library))
        self._properties = PropertySet(self.handles, self._own_properties())
        self._providers: dict[str, object] = {name: suite(self) for name, suite in ofx_suites.SUITES.items()}
        self._providers["OfxPropertySuite"] = PropertySuite(self.handles)
        self._tables: dict[tuple[str, int], tuple[Any, list[Any]]] = {}
        self._fetch = ofx_abi.FetchSuite(self._fetch_suite)
        self._struct = ofx_abi.OfxHost(self._properties.handle, self._fetch)
        self._library.OfxGetPlugin.restype = ctypes.POINTER(ofx_abi.OfxPlugin)
        self._library.OfxSetHost(ctypes.byref(self._struct))
        assert self._library.OfxGetNumberOfPlugins() == 1
        self.plugin = self._library.OfxGetPlugin(0).contents
        self.plugin.setHost(ctypes.byref(self._struct))

    def load(self) -> int:
        """The status of the Load action."""
        return self.act("OfxActionLoad")

    def unload(self) -> int:
        return self.act("OfxActionUnload")

    def describe(self, context: str = FILTER) -> Descriptor:
        """The effect as described in a context; loads the plugin first."""
        assert self.load() == ofx_abi.OK
        described = Descriptor(self.handles)
        assert self.act("OfxActionDescribe", described.handle) == ofx_abi.OK
        with PropertySet(self.handles, {"OfxImageEffectPropContext": context}) as arguments:
            action = "OfxImageEffectActionDescribeInContext"
            assert self.act(action, described.handle, arguments) == ofx_abi.OK
        return described

    def create(self, context: str, clips: Mapping[str, Content], values: Mapping[str, Any] | None = None) -> Effect:
        """An instance whose clips show these contents, with these values instead of the defaults."""
        return Effect(self, context, self.describe(context), clips, values or {})

    def act(
        self,
        action: str,
        handle: int | None = None,
        arguments: PropertySet | None = None,
        answers: PropertySet | None = None,
    ) -> int:
        """Calls the plugin's main entry."""
        before = getattr(self.acting, "name", None)
        self.acting.name = action
        reason = arguments.values.get("OfxPropChangeReason") if arguments else None
        self.acting.by_user = reason == ["OfxChangeUserEdited"]
        try:
            sets = [properties.handle if properties else None for properties in (arguments, answers)]
            return int(self.plugin.mainEntry(action.encode(), handle, *sets))
        finally:
            self.acting.name = before

    def lent(self) -> int:
        """Images that the plugin holds."""
        return sum(len(clip.lent) for clip in self.handles.all(Clip))

    def clip(self, name: str, content: Content | None) -> Clip:
        traits = self.traits
        properties = {"OfxPropName": name, "OfxImageClipPropConnected": int(content is not None)}
        if traits.clip_range is not None:
            properties["OfxImageEffectPropFrameRange"] = list(traits.clip_range)
        properties |= traits.properties.get("clip", {})
        known = {key: value for key, value in properties.items() if value is not None}
        return Clip(self.handles, name, PropertySet(self.handles, known), content)

    def _own_properties(self) -> dict[str, Any]:
        return {
            "OfxPropName": self.traits.name,
            "OfxPropLabel": "MIVE's test host",
            "OfxPropAPIVersion": [1, 5],
            "OfxImageEffectPropTemporalClipAccess": int(self.traits.temporal_access),
        }

    def _fetch_suite(self, _: int, name: bytes, version: int) -> int | None:
        key = (name.decode(), version)
        if key[0] in self.traits.missing or key in self.traits.missing or key not in ofx_abi.SUITES:
            return None
        if key not in self._tables:
            provider = self._providers[key[0]]
            functions = [self._wrapped(provider, name, kind) for name, kind in ofx_abi.SUITES[key].items()]
            pointers = [ctypes.cast(function, ctypes.c_void_p) for function in functions]
            self._tables[key] = ((ctypes.c_void_p * len(pointers))(*pointers), functions)
        return ctypes.addressof(self._tables[key][0])

    def _wrapped(self, provider: object, name: str, kind: Any) -> Any:
        method = getattr(provider, name, None)

        def call(*arguments: Any) -> int:
            if name in self.traits.failing:
                return self.traits.failing[name]
            try:
                if method is None:
                    raise Refused(ofx_abi.UNSUPPORTED)
                answer = method(*arguments)
            except Refused as refused:
                return refused.status
            except Exception:
                self.violations.append(f"{name}: {traceback.format_exc()}")
                return ofx_abi.UNKNOWN
            return ofx_abi.OK if answer is None else int(answer)

        return kind(call)
