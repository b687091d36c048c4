"""How an edit is made: presets, settings as asked for, settings with nothing left open.

Import these names from :mod:`mive.request`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Annotated, Any, Final, Literal, Self, cast, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from mive.base.validation import Model, Number, WholeNumber, did_you_mean, reject
from mive.errors import BundleError, RequestError
from mive.plans import PLAN_NAMES, USUAL_PLAN

TRAIN_STEPS: Final = 1000
"""Timesteps an SD-class model is trained on; the sampling grids lie on them."""

MOST_STEPS: Final = TRAIN_STEPS // 2
"""More would put the last timestep, which is offset by one, outside the model's."""

_TABLE: Final = json.loads(resources.files("mive").joinpath("presets.json").read_bytes())

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {row.pop("name"): row for row in _TABLE["presets"]}
"""What each preset fixes; what it leaves open comes from the bundle.

The OpenFX effect is built from the same file, and hosts store a preset as its place there: a new one goes to the end.
The contract has one enum value for each.
"""

USUAL_PRESET: Final[str] = _TABLE["usual"]

PAPER_GUIDANCE: Final = PRESETS["paper"]["guidance"]

CLOSEST: Final = 4.0
CONTEXT: Final = 2.2
CONTROL_ATTENTION: Final = "all"
CONTROL_CAPTION: Final = "own"
FLOW_ATTENTION: Final = "flatten"
FRAME_ATTENTION: Final = "whole"
FRAMING: Final = "close"
IPR: Final = "ipr"
LAMBDA_S: Final = "literal"
LPS_UNGUIDED: Final = "each"
MASK_CELLS: Final = "touched"
MATTE_FIT: Final = "exact"
NPS_PASSES: Final = "each"
SOLVER: Final = "ddim"
WINDOW: Final = 16
OVERLAP: Final = 4

Count = Annotated[WholeNumber, Field(ge=1)]
Index = Annotated[WholeNumber, Field(ge=0)]
Seed = Annotated[WholeNumber, Field(ge=0, lt=2**63)]
Steps = Annotated[WholeNumber, Field(ge=1, le=MOST_STEPS)]
Pixels = Annotated[WholeNumber, Field(ge=8)]
Share = Annotated[Number, Field(ge=0, le=1)]
Weight = Annotated[Number, Field(ge=0)]
Context = Annotated[Number, Field(ge=1)]
Closest = Annotated[Number, Field(gt=0)]

SolverName = Literal["ddim", "dpmpp_2m"]
Ipr = Literal["ipr", "none", "dense_diffusion"]
LambdaS = Literal["literal", "bounded"]
Flow = Literal["dis", "raft", "none"]
FlowAttention = Literal["flatten", "old_qk", "none"]
NpsPasses = Literal["each", "joint"]
LpsUnguided = Literal["each", "pasted"]
ControlCaption = Literal["own", "empty"]
FrameAttention = Literal["whole", "pooled"]
ControlAttention = Literal["all", "frame"]
ChosenPrecision = Literal["fp32", "bf16", "fp16"]
Precision = Literal["auto", ChosenPrecision]
Narrow = Literal["int8", "fp8"]
Quantize = Literal["none", Narrow]
MatteFit = Literal["exact", "fit", "order"]
MaskCells = Literal["nearest", "touched"]
CaptionMode = Literal["instance", "global"]
FramingName = Literal["whole", "close"]
GuidanceForm = Literal["plain", "rescaled", "projected"]


def _one_of(kind: str, names: Iterable[str], usual: str) -> Callable[[str], str]:
    """A validator that refuses all but ``names``."""
    known = tuple(names)

    def check(name: str) -> str:
        if name not in known:
            reject(
                f'there is no {kind} "{name}"',
                expected=f"one of {', '.join(known)}",
                fix=did_you_mean(name, known) or f'Use "{usual}", the usual one',
            )
        return name

    return check


Preset = Annotated[str, AfterValidator(_one_of("preset", PRESETS, USUAL_PRESET))]
PlanName = Annotated[str, AfterValidator(_one_of("plan", PLAN_NAMES, USUAL_PLAN))]

ChosenEngine = Literal["torch", "trt"]
EngineName = Literal["auto", ChosenEngine]
"""What runs the networks. Where an edit runs is no setting: it belongs to a command or a server, not to the request."""

USUAL_ENGINE: Final = "torch"

Codec = Literal["h264", "hevc", "prores", "ffv1"]
"""What a video is written in; no setting either."""

ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)
CODECS: Final[tuple[Codec, ...]] = get_args(Codec)


class ResolvedSettings(Model):
    """Settings with nothing left open; their meaning is told at :class:`Settings`.

    The defaults here are MIVE's own, for what neither the user, the preset nor the bundle says.
    """

    preset: Preset
    steps: Steps
    inversion_steps: Steps
    guidance: Weight = PAPER_GUIDANCE
    guidance_factor: Weight = 1.0
    close_guidance: Weight | None = None
    guidance_form: GuidanceForm = "plain"
    plan: PlanName = USUAL_PLAN
    solver: SolverName = SOLVER
    nps_passes: NpsPasses = NPS_PASSES
    lps_unguided: LpsUnguided = LPS_UNGUIDED
    ipr: Ipr = IPR
    lambda_: Weight = Field(default=0.4, validation_alias="lambda", serialization_alias="lambda")
    lambda_r: Share = 0.6
    lambda_s: LambdaS = LAMBDA_S
    ipr_share: Share = 0.8
    flow: Flow = "dis"
    flow_attention: FlowAttention = FLOW_ATTENTION
    frame_attention: FrameAttention = FRAME_ATTENTION
    control_attention: ControlAttention = CONTROL_ATTENTION
    control_caption: ControlCaption = CONTROL_CAPTION
    control_scale: Weight = 1.0
    seed: Seed = 0
    variation: Share = 0.0
    framing: FramingName = FRAMING
    context: Context = CONTEXT
    closest: Closest = CLOSEST
    model_size: Pixels = Field(
        description="the short side of the frames the model sees, in pixels (no bundle names it)"
    )
    window: Count = WINDOW
    overlap: Index = OVERLAP
    instances_per_forward: Count = 1
    device: str = "auto"
    precision: Precision = "auto"
    quantize: Quantize = "none"
    feather: Weight = 0.0
    detail: Share = 1.0
    grain: Share = 1.0
    matte_fit: MatteFit = MATTE_FIT
    mask_cells: MaskCells = MASK_CELLS
    caption_mode: CaptionMode = "instance"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_grids(self.solver, self.steps, self.inversion_steps)
        check_windows(self.window, self.overlap)
        _check_passes(self.nps_passes, self.ipr)
        return self

    def guidance_of(self, own: float | None = None) -> float:
        """The guidance scale of an instance, which may have one of its own in place of the settings'."""
        return (self.guidance if own is None else own) * self.guidance_factor


class Settings(Model):
    """Settings as asked for. ``None`` leaves a field to the preset, the bundle, then MIVE."""

    preset: Preset = Field(default=USUAL_PRESET, description="the preset")
    steps: Steps | None = Field(default=None, description="the number T of denoising steps")
    inversion_steps: Steps | None = Field(
        default=None,
        description="the number of inversion steps, a multiple of the steps",
    )
    guidance: Weight | None = Field(
        default=None, description=f"the classifier-free guidance scale (the paper's is {PAPER_GUIDANCE})"
    )
    guidance_factor: Weight | None = Field(
        default=None, description="a factor on the guidance scale, whoever says that"
    )
    close_guidance: Weight | None = Field(
        default=None,
        description="the guidance scale in views that show few instances large; none means the guidance scale",
    )
    guidance_form: GuidanceForm | None = Field(
        default=None, description="plain guidance, or what keeps strong guidance from burning colours out"
    )
    plan: PlanName | None = Field(default=None, description="the name of the sampling plan")
    solver: SolverName | None = Field(
        default=None, description="how steps are taken: DDIM, or DPM-Solver++ (2M), which needs fewer"
    )
    nps_passes: NpsPasses | None = Field(
        default=None,
        description="NPS with caption: a pass for each instance, or one where each pixel hears its own instance's",
    )
    lps_unguided: LpsUnguided | None = Field(
        default=None,
        description="LPS without caption: a pass for each instance, or one on all of them pasted into one frame",
    )
    ipr: Ipr | None = Field(default=None, description="how cross-attention is steered into the mattes")
    lambda_: Weight | None = Field(
        default=None,
        validation_alias="lambda",
        serialization_alias="lambda",
        description="the warm-up strength λ of IPR",
    )
    lambda_r: Share | None = Field(
        default=None, description="the share λ_r of moved probability that goes to the caption"
    )
    lambda_s: LambdaS | None = Field(
        default=None, description="the reading of λ_S: min(mean, min) + W, or min(mean, min + W)"
    )
    ipr_share: Share | None = Field(
        default=None, description="the share of the steps that use IPR, from the noisiest on"
    )
    flow: Flow | None = Field(default=None, description="the optical flow estimator")
    flow_attention: FlowAttention | None = Field(default=None, description="the attention along flow trajectories")
    frame_attention: FrameAttention | None = Field(
        default=None,
        description="what self-attention sees of other frames: all, or averages of 2 × 2 at its two finest sizes",
    )
    control_attention: ControlAttention | None = Field(
        default=None, description="what ControlNet's self-attention sees: all frames or one"
    )
    control_caption: ControlCaption | None = Field(
        default=None,
        description="what ControlNet hears: captions, or the empty one, once for all passes on the same latents",
    )
    control_scale: Weight | None = Field(default=None, description="the weight of ControlNet")
    seed: Seed | None = Field(default=None, description="the seed of the noise that variation brings in")
    variation: Share | None = Field(
        default=None,
        description="the share of inverted noise inside the mattes that seeded noise replaces",
    )
    framing: FramingName | None = Field(
        default=None, description="what the model sees: whole frames, or views of where the mattes are"
    )
    context: Context | None = Field(default=None, description="the sides of a view by the sides of its instance")
    closest: Closest | None = Field(default=None, description="the most model pixels to a pixel of the clip")
    model_size: Pixels | None = Field(
        default=None, description="the short side of the frames the model sees, in pixels"
    )
    window: Count | None = Field(default=None, description="the frames edited at one time")
    overlap: Index | None = Field(default=None, description="the frames that neighbouring windows share")
    instances_per_forward: Count | None = Field(default=None, description="the number of instances in one forward pass")
    device: str | None = Field(default=None, description="the device")
    precision: Precision | None = Field(default=None, description="the precision of the networks")
    quantize: Quantize | None = Field(
        default=None, description="the 8-bit numbers that TensorRT programs multiply in; other engines have none"
    )
    feather: Weight | None = Field(default=None, description="the soft edge inside each matte, in pixels of the clip")
    detail: Share | None = Field(
        default=None, description="how much of the plate's detail an edit takes that has to be enlarged"
    )
    grain: Share | None = Field(default=None, description="how much of the plate's grain is laid over edits again")
    matte_fit: MatteFit | None = Field(
        default=None,
        description="whether mattes of other numbers, size or length are an error or fitted, "
        "or taken in their order, whatever their numbers",
    )
    mask_cells: MaskCells | None = Field(
        default=None,
        description="which latents are an instance's: those whose centre its matte covers, or all that it touches",
    )
    caption_mode: CaptionMode | None = Field(
        default=None, description="whether each instance has its own caption or all the global one"
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str | None) -> str | None:
        if device is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", device):
            reject(
                f'there is no kind of device "{device}"',
                expected='"auto", "cpu", "cuda", "cuda:N" or "mps"',
                fix='Use "auto"; "mive doctor" lists the devices of this machine',
            )
        return device

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_grids(self._solver(), *self._step_counts())
        if self.window is not None and self.overlap is not None:
            check_windows(self.window, self.overlap)
        _check_passes(self.nps_passes, self.ipr)
        return self

    def resolved(self, defaults: Mapping[str, object]) -> ResolvedSettings:
        """These settings with every open field filled.

        The order is: what is set here, the preset, ``defaults``, MIVE's own. Three fields follow
        others where only those are set: the inversion takes about twice the ``steps``, an
        overlap that is not set here is at most half the ``window``, and a guidance that the bundle
        does not say is the guidance of close views too. Where ``ipr`` steers self-attention, NPS has
        a pass for each instance, whatever the preset says.

        Args:
            defaults: the bundle's default settings, under the names that JSON uses.

        Raises:
            BundleError: ``defaults`` hold what is no setting of a bundle.
            RequestError: the whole is contradictory, or nobody names the model size.
        """
        bundle = _bundle_settings(defaults)
        steps, inversion_steps = self._step_counts()
        asked = {**PRESETS[self.preset], **self._given()}
        values: dict[str, Any] = {
            **bundle._given(),
            **({"close_guidance": None} if "guidance" in asked else {}),
            **asked,
            "preset": self.preset,
            "solver": self._solver(),
            "steps": steps,
            "inversion_steps": inversion_steps,
        }
        if self.nps_passes is None and values.get("ipr") == "dense_diffusion":
            values["nps_passes"] = "each"
        if self.overlap is None:
            window = self.window or bundle.window or WINDOW
            overlap = OVERLAP if bundle.overlap is None else bundle.overlap
            values["overlap"] = min(overlap, window // 2)
        return ResolvedSettings(**values)

    def _given(self) -> dict[str, object]:
        """What is not left open, by Python name, without the preset."""
        return self.model_dump(exclude_none=True, exclude={"preset"})

    def _solver(self) -> SolverName:
        """The solver, on which hang the steps that fit; so a bundle has no say in it."""
        return self.solver or cast("SolverName", PRESETS[self.preset].get("solver", SOLVER))

    def _step_counts(self) -> tuple[int, int]:
        """Denoising and inversion steps; presets name both, so a bundle has no say in them."""
        preset = PRESETS[self.preset]
        usual = self.steps is None and self._solver() == preset.get("solver", SOLVER)
        steps = self.steps or int(preset["steps"])
        follow = int(preset["inversion_steps"]) if usual else _inversion_for(self._solver(), steps)
        return steps, self.inversion_steps or follow


def _bundle_settings(defaults: Mapping[str, object]) -> Settings:
    """A bundle's default settings."""
    fields: dict[str, Any] = dict(defaults)
    try:
        bundle = Settings(**fields)
    except RequestError as error:
        raise _wrong_default(error.field, error.what, error.expected) from error
    if bundle.guidance_factor is not None:
        raise _wrong_default("guidance_factor", "it is for requests", "guidance alone, multiplied by the factor")
    return bundle


def _wrong_default(name: str | None, what: str, expected: str) -> BundleError:
    return BundleError(
        f"the bundle's default setting {name} is wrong: {what}",
        expected=expected,
        fix="Correct it in the bundle's bundle.json",
    )


def _grid(count: int) -> range:
    """The ``count`` timesteps of DDIM's grid, ascending: {1, 21, …, 981} for 50."""
    stride = TRAIN_STEPS // count
    return range(1, 1 + count * stride, stride)


def _inversion_for(solver: SolverName, steps: int) -> int:
    """The inversion steps to ``steps``: with DDIM twice as many as in the paper, else thrice, else equal."""
    stride = TRAIN_STEPS // steps
    factors = (2, 3, 1) if solver == "ddim" else (1,)
    return steps * next(f for f in factors if stride % f == 0 and (f == 1 or f * steps <= MOST_STEPS))


def _check_grids(solver: SolverName, steps: int, inversion_steps: int) -> None:
    """Every sampling timestep must lie on the inversion grid, which holds the source's latents.

    DPM-Solver++'s has them all whatever the multiple.
    """
    even, finer = solver == "ddim", _grid(inversion_steps)
    if inversion_steps % steps or (even and any(timestep not in finer for timestep in _grid(steps))):
        stride = TRAIN_STEPS // steps
        multiples = [f for f in range(1, stride + 1) if f * steps <= MOST_STEPS and not (even and stride % f)]
        fits = [str(steps * f) for f in multiples][:4]
        reject(
            f"{inversion_steps} inversion steps miss some timesteps of {steps} denoising steps",
            expected=f"with {steps} steps, one of {', '.join(fits)}",
            fix=f"Use {_inversion_for(solver, steps)} inversion steps, or leave them out",
            at=["inversion_steps"],
        )


def _check_passes(nps_passes: NpsPasses | None, ipr: Ipr | None) -> None:
    """Refuses one pass for all instances where self-attention is steered by one at a time."""
    if (nps_passes, ipr) == ("joint", "dense_diffusion"):
        reject(
            "dense_diffusion steers self-attention by one instance, and joint NPS passes are of all of them",
            expected='ipr "ipr" or "none" with joint passes',
            fix='Set nps_passes to "each"',
            at=["nps_passes"],
        )


def check_windows(window: int, overlap: int) -> None:
    """Refuses windows that do not advance; for validators."""
    if overlap >= window:
        reject(
            f"an overlap of {overlap} frames is not smaller than the window of {window}",
            expected=f"less than {window}",
            fix="Make the overlap smaller or the window larger",
            at=["overlap"],
        )
