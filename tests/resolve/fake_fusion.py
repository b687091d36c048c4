"""Fusion's UI manager: elements with attributes, events by name, one loop. Windows are not drawn."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class Element:
    """What the UI manager makes; attributes are those it was given, and others that are set later."""

    def __init__(self, kind: str, attributes: Any = None, children: Any = ()) -> None:
        if isinstance(attributes, list):  # a group's attributes may be left out
            attributes, children = {}, attributes
        self.__dict__.update({"Text": "", "Enabled": True, **(attributes or {})})
        self.kind = kind
        self.children = list(children)
        self.choices: list[str] = []
        self.running = False

    def AddItem(self, text: str) -> None:
        assert self.kind == "ComboBox"
        self.choices.append(text)

    def Start(self) -> None:
        assert self.kind == "Timer"
        self.running = True

    def Stop(self) -> None:
        assert self.kind == "Timer"
        self.running = False

    def all(self) -> list[Element]:
        return [self, *(element for child in self.children for element in child.all())]


class Window:
    """What the user sees, with ways to use it in tests."""

    def __init__(self, attributes: dict[str, Any], children: list[Element], fusion: FakeFusion) -> None:
        self.attributes = attributes
        self.elements = {e.ID: e for child in children for e in child.all() if hasattr(e, "ID")}
        self.On: Any = _Events()
        self.fusion = fusion
        self.visible = False

    def GetItems(self) -> dict[str, Element]:
        return self.elements

    def Show(self) -> None:
        self.visible = True

    def Hide(self) -> None:
        self.visible = False

    def type(self, element: str, text: str) -> None:
        """The user types into a field, which tells only if it was asked to."""
        item = self.elements[element]
        assert item.Events == {"TextChanged": True}
        setattr(item, "PlainText" if item.kind == "TextEdit" else "Text", text)
        getattr(self.On, element).TextChanged({"who": element})

    def click(self, element: str) -> None:
        """The user clicks a button; one that is disabled does nothing."""
        if self.elements[element].Enabled:
            getattr(self.On, element).Clicked({"who": element})

    def tick(self) -> None:
        """Half a second passes."""
        timer = self.fusion.timer
        if timer is not None and timer.running:
            self.fusion.last.On.Timeout({"who": timer.ID})

    @property
    def status(self) -> str:
        return str(self.elements["Status"].Text)


class _Events:
    def __getattr__(self, name: str) -> SimpleNamespace:
        self.__dict__[name] = SimpleNamespace()
        return self.__dict__[name]


class Dispatcher:
    """Shows windows; its loop is what the test does."""

    def __init__(self, fusion: FakeFusion) -> None:
        self.fusion = fusion
        self.On = SimpleNamespace()
        self.ended = False

    def AddWindow(self, attributes: dict[str, Any], children: list[Element]) -> Window:
        self.window = Window(attributes, children, self.fusion)
        self.fusion.windows.append(self.window)
        return self.window

    def RunLoop(self) -> None:
        assert self.window.visible
        if self.fusion.scenario is not None:
            self.fusion.scenario(self.window)

    def ExitLoop(self) -> None:
        self.ended = True


class FakeFusion:
    """``resolve.Fusion()``.

    Args:
        scenario: what the user does once a window is shown.
    """

    def __init__(self, scenario: Callable[[Window], None] | None) -> None:
        self.scenario = scenario
        self.windows: list[Window] = []
        self.timer: Element | None = None
        self.chosen: str | None = None
        """What the user picks when asked for a file or folder."""
        kinds = ("VGroup", "HGroup", "Label", "TextEdit", "LineEdit", "ComboBox", "Button")
        self.UIManager: Any = SimpleNamespace(**{kind: self._maker(kind) for kind in kinds}, Timer=self._new_timer)

    def dispatcher(self, ui: Any) -> Dispatcher:
        assert ui is self.UIManager
        self.last = Dispatcher(self)
        return self.last

    def RequestFile(self, path: str) -> str | None:
        return self.chosen

    def RequestDir(self, path: str) -> str | None:
        return self.chosen

    def _maker(self, kind: str) -> Callable[..., Element]:
        return lambda attributes=None, children=(): Element(kind, attributes, children)

    def _new_timer(self, attributes: dict[str, Any]) -> Element:
        self.timer = Element("Timer", attributes)
        return self.timer
