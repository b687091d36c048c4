"""The window, by Fusion's UI manager. No logic: fields go to the session, and what it says goes to the status line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from mive_resolve.form import Form, default_folder
from mive_resolve.refusal import Refusal
from mive_resolve.session import Installed, Session
from mive_resolve.shot import Shot

_WINDOW = "MiveWindow"
_FIELDS = ("Captions", "Mattes", "Seed", "Strength", "Server", "Folder")
_INTERVAL = 500
"""Milliseconds between two looks at the render."""


def dispatcher_of(fusion: Any, bmd: Any) -> Any:
    """What shows windows, and hands on what is done in them.

    Raises:
        Refusal: this edition of Resolve shows scripts no windows.
    """
    ui = getattr(fusion, "UIManager", None)
    if not ui or bmd is None:
        raise Refusal(
            "This edition of DaVinci Resolve lets scripts show no windows: from 19.1 on it has to be Studio",
            'Use the MIVE effect, or "mive render" and import its result',
        )
    return bmd.UIDispatcher(ui)


def show_message(fusion: Any, bmd: Any, text: str) -> None:
    """A window with nothing but a text, until it is closed."""
    dispatcher = dispatcher_of(fusion, bmd)
    ui = fusion.UIManager
    window = dispatcher.AddWindow(
        {"ID": _WINDOW, "WindowTitle": "MIVE", "Geometry": [300, 300, 460, 140]},
        [
            ui.VGroup(
                [
                    ui.Label({"ID": "Status", "Text": text, "WordWrap": True}),
                    ui.Button({"ID": "Close", "Text": "Close", "Weight": 0}),
                ]
            )
        ],
    )
    _on(window, _WINDOW, "Close", lambda event: dispatcher.ExitLoop())
    _on(window, "Close", "Clicked", lambda event: dispatcher.ExitLoop())
    _run(window, dispatcher)


class Dialog:
    """The window of one clip.

    Args:
        fusion: ``resolve.Fusion()``.
        bmd: the module that Resolve gives its scripts.
    """

    def __init__(self, fusion: Any, bmd: Any, session: Session, shot: Shot, installed: Installed) -> None:
        self._fusion = fusion
        self._session = session
        self._presets = installed.presets
        self._dispatcher = dispatcher_of(fusion, bmd)
        ui = fusion.UIManager
        self._window = self._dispatcher.AddWindow(
            {"ID": _WINDOW, "WindowTitle": "MIVE", "Geometry": [300, 200, 620, 460]}, [_layout(ui, shot)]
        )
        self._items = self._window.GetItems()
        for preset in self._presets:
            self._items["Preset"].AddItem(preset)
        self._items["Preset"].CurrentIndex = self._presets.index(installed.usual)
        # A timer's events come to the dispatcher, not to the window.
        self._timer = ui.Timer({"ID": "Tick", "Interval": _INTERVAL})
        self._connect()
        self._validate()

    def run(self) -> None:
        """Shows the window until it is closed. That cancels a render that is under way."""
        try:
            _run(self._window, self._dispatcher)
        finally:
            self._session.close()

    def _connect(self) -> None:
        for field in _FIELDS:
            _on(self._window, field, "TextChanged", self._guarded(self._validate))
        clicks = {
            "Render": self._start, "Cancel": self._cancel, "Close": self._dispatcher.ExitLoop,
            "MattesFile": lambda: self._browse("Mattes", self._fusion.RequestFile),
            "MattesFolder": lambda: self._browse("Mattes", self._fusion.RequestDir),
            "OutFolder": lambda: self._browse("Folder", self._fusion.RequestDir),
        }  # fmt: skip
        for button, action in clicks.items():
            _on(self._window, button, "Clicked", self._guarded(action))
        _on(self._window, _WINDOW, "Close", self._guarded(self._dispatcher.ExitLoop))
        self._dispatcher.On.Timeout = self._guarded(self._tick)

    def _form(self) -> Form:
        items = self._items
        texts = {name: str(items[name].Text or "") for name in _FIELDS[1:]}
        return Form(
            captions=str(items["Captions"].PlainText or ""),
            mattes=texts["Mattes"],
            preset=self._presets[int(items["Preset"].CurrentIndex)],
            seed=texts["Seed"],
            strength=texts["Strength"],
            server=texts["Server"],
            folder=texts["Folder"],
        )

    def _validate(self) -> None:
        if not self._session.running:
            problem = self._session.problem(self._form())
            self._show(problem or "Ready", not problem)

    def _start(self) -> None:
        self._session.start(self._form())
        self._show("starting", False)
        self._timer.Start()

    def _cancel(self) -> None:
        if self._session.running:
            self._session.cancel()
            self._show("Cancelling", False)

    def _tick(self) -> None:
        if self._session.running:
            text = self._session.step()
            self._show(text, not self._session.running)
        if not self._session.running:
            self._timer.Stop()

    def _browse(self, field: str, ask: Callable[[str], Any]) -> None:
        chosen = ask(str(self._items[field].Text or ""))
        if chosen:
            self._items[field].Text = str(chosen)
            self._validate()

    def _show(self, status: str, ready: bool) -> None:
        self._items["Status"].Text = status
        self._items["Render"].Enabled = ready
        self._items["Cancel"].Enabled = self._session.running

    def _guarded(self, action: Callable[[], Any]) -> Callable[[Any], None]:
        """An exception that leaves a handler would close the window, and lose what was typed."""

        def handle(event: Any = None) -> None:
            try:
                action()
            except Refusal as refusal:
                self._failed(str(refusal))
            except Exception as error:
                traceback.print_exc()
                self._failed(f"{type(error).__name__}: {error}. Workspace > Console says where")

        return handle

    def _failed(self, text: str) -> None:
        self._show(text, not self._session.running)
        if not self._session.running:
            self._timer.Stop()


def _layout(ui: Any, shot: Shot) -> Any:
    def line(label: str, *elements: Any) -> Any:
        return ui.HGroup({"Weight": 0}, [ui.Label({"Text": label, "Weight": 0, "MinimumSize": [70, 0]}), *elements])

    def field(name: str, text: str = "", hint: str = "") -> Any:
        return ui.LineEdit({"ID": name, "Text": text, "PlaceholderText": hint, "Events": {"TextChanged": True}})

    def button(name: str, text: str) -> Any:
        return ui.Button({"ID": name, "Text": text, "Weight": 0})

    captions = ui.TextEdit(
        {
            "ID": "Captions", "PlainText": "", "PlaceholderText": "1: a red ball\n2: a green striped cup",
            "AcceptRichText": False, "Events": {"TextChanged": True},
        }
    )  # fmt: skip
    return ui.VGroup(
        [
            ui.Label({"Text": f"{shot.name}, frames {shot.first}-{shot.last} of its file", "Weight": 0}),
            captions,
            line("Mattes", field("Mattes"), button("MattesFile", "File…"), button("MattesFolder", "Folder…")),
            line("Preset", ui.ComboBox({"ID": "Preset"})),
            line("Seed", field("Seed")),
            line("Strength", field("Strength", hint="1")),
            line("Server", field("Server", hint="this machine")),
            line("Save to", field("Folder", str(default_folder(shot))), button("OutFolder", "Folder…")),
            ui.Label({"ID": "Status", "Text": "", "WordWrap": True, "Weight": 0, "MinimumSize": [0, 48]}),
            ui.HGroup({"Weight": 0}, [button(name, name) for name in ("Render", "Cancel", "Close")]),
        ]
    )


def _on(window: Any, element: str, event: str, handler: Callable[[Any], None]) -> None:
    setattr(getattr(window.On, element), event, handler)


def _run(window: Any, dispatcher: Any) -> None:
    window.Show()
    try:
        dispatcher.RunLoop()
    finally:
        window.Hide()
