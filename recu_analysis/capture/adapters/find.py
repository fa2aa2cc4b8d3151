"""Search for the binary modules of a model, with the reason for each module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

import torch

from recu_analysis.capture.adapters.layer import BinaryLayer
from recu_analysis.capture.adapters.modules import computed, latent_of, plain_modules, weight_of
from recu_analysis.capture.adapters.placement import is_distributed
from recu_analysis.capture.adapters.registry import Adapter, Meaning, refuse_unusable, registered, two_valued
from recu_analysis.capture.steps import check_first
from recu_analysis.errors import InputError, NoBinaryLayersError, kind_of_value, listed, near_names
from recu_analysis.store.layer_selection import as_patterns
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

#: Modules that an error lists before it counts the rest.
LISTED = 8
#: Classes that the error names if no layer is recognized.
CLASSES = 4
#: Why no part of a model in TorchScript can be recorded.
_IN_JIT = "is TorchScript, whose forward pass cannot be seen from Python; record the model from which torch.jit made it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result for one module with a weight: the binary layer, or the reason why it is not binary."""

    name: str
    kind: str
    shape: tuple[int, ...]
    layer: BinaryLayer | None
    why: str
    refused: bool = False


def binary_layers(model: torch.nn.Module, layers: Sequence[str] | str | None = None) -> list[BinaryLayer]:
    """The binary layers of a model, in its order; a weight that several modules share counts once.

    Parameters
    ----------
    model : torch.nn.Module
        May be wrapped in DataParallel, DistributedDataParallel or torch.compile; names do not include the wrapper.
    layers : str or sequence of str, optional
        Patterns (``*``, ``?``, ``[...]``) of module names to record instead of the recognized ones. A matching module
        that no adapter recognizes is assumed to binarize its `weight` by the plain sign.

    Returns
    -------
    list of BinaryLayer

    Raises
    ------
    NoBinaryLayersError
        If there is no binary layer; the message names the classes of the modules, and what to do.
    InputError
        If a pattern matches no module with a weight, or one that cannot be recorded.
    """
    verdicts = _judged(model, layers)
    refused = [f"{verdict.name or '(itself)'}: {verdict.why}" for verdict in verdicts if verdict.refused]
    if refused and layers is not None:
        raise InputError(f"a layer selected by layers= cannot be recorded: {refused[0]}")
    found = [verdict.layer for verdict in verdicts if verdict.layer]
    if not found and refused:
        raise NoBinaryLayersError(f"no layer of {type(model).__name__} can be recorded: {refused[0]}")
    if not found:
        raise NoBinaryLayersError(
            f"no binary layer was recognized in {type(model).__name__}, which has {_candidate_text(verdicts)}"
        )
    return found


def judged_layers(
    model: torch.nn.Module, layers: Sequence[str] | str | None = None
) -> tuple[pd.DataFrame, list[BinaryLayer]]:
    """The table of `find_binary_layers` without its example, and the binary layers, which may be none."""
    import pandas as pd

    verdicts = _judged(model, layers)
    rows = [
        (each.name, each.layer is not None, _adapter(each.layer), "x".join(map(str, each.shape)), each.why)
        for each in verdicts
    ]
    table = pd.DataFrame(rows, columns=["name", "binary", "adapter", "shape", "why"])
    return table, [verdict.layer for verdict in verdicts if verdict.layer]


def require_model(model: object) -> None:
    """Raise InputError unless a model is a torch module that runs in Python."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, not {kind_of_value(model)}")
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError(f"the model {_IN_JIT}")


def _judged(model: torch.nn.Module, layers: Sequence[str] | str | None) -> list[Verdict]:
    """One verdict per module with a weight; raise InputError if a pattern matches none of them."""
    require_model(model)
    patterns = as_patterns(layers)
    verdicts = _verdicts(model, patterns)
    for pattern in patterns or []:
        if not any(fnmatchcase(verdict.name, pattern) for verdict in verdicts):
            raise InputError(f"no module with a weight matches {pattern!r}; {_nearest(pattern, verdicts)}")
    return verdicts


def _adapter(layer: BinaryLayer | None) -> str:
    return layer.adapter if layer else ""


def _verdicts(model: torch.nn.Module, patterns: Sequence[str] | None) -> list[Verdict]:
    """One verdict per module with a weight; an adapter of a parent module takes precedence."""
    verdicts: dict[str, Verdict] = {}
    owners: dict[int, str] = {}
    for name, module in plain_modules(model):
        candidates = list(_candidates(name, module))
        other = None if candidates else _of_another_name(name, module, patterns)
        if other is not None:
            verdicts[name] = other
        for candidate in candidates:
            if candidate.name in verdicts:
                continue
            verdict = candidate.judge(patterns)
            if verdict.layer is not None and not verdict.layer.quantizer.binary:
                verdict = _unless_tied(verdict, verdict.layer, model)
            if verdict.layer is not None:
                first = owners.setdefault(id(verdict.layer.parameter), verdict.name)
                if first != verdict.name:
                    verdict = Verdict(
                        verdict.name, verdict.kind, verdict.shape, None, f"shares its weight with {first}"
                    )
            verdicts[verdict.name] = verdict
    return list(verdicts.values())


def _unless_tied(verdict: Verdict, layer: BinaryLayer, model: torch.nn.Module) -> Verdict:
    """The verdict; a refusal if a module without levels, such as an embedding, has the same weight."""
    for name, module in plain_modules(model):
        holds = any(each is layer.parameter for each in module.parameters(recurse=False))
        if holds and module is not layer.module and not any(adapter.fits(module) for adapter in registered()):
            why = (
                f"its weight is also that of {name} ({type(module).__name__}), which uses it unquantized; give each "
                "its own weight (tie_word_embeddings=False)"
            )
            return replace(verdict, layer=None, why=why, refused=True)
    return verdict


def _candidates(name: str, module: torch.nn.Module) -> Iterator[Candidate]:
    """Yield the weight that an adapter finds in a module, otherwise the module's own weight, if it has one."""
    if isinstance(module, torch.jit.ScriptModule):
        return
    for adapter in registered():
        if not adapter.fits(module):
            continue
        meaning: Meaning | InputError
        try:
            meaning = adapter.meaning(module)
        except InputError as error:
            meaning = error
        if meaning is not None:
            try:
                owner = module.get_submodule(adapter.owner)
            except AttributeError:
                owner = module
                meaning = InputError(f"it has no submodule {adapter.owner!r}, which adapter {adapter.name!r} needs")
            path = ".".join(filter(None, (name, adapter.owner)))
            yield Candidate(path, module, owner, adapter.weight.rpartition(".")[2], adapter, meaning)
            return
    found = weight_of(module)
    if found is not None:
        yield Candidate(name, module, module, found[0], None, None)


def _of_another_name(name: str, module: torch.nn.Module, patterns: Sequence[str] | None) -> Verdict | None:
    """The verdict on a module in TorchScript, or whose parameter is not named weight: an adapter must declare it."""
    if isinstance(module, torch.nn.utils.parametrize.ParametrizationList):
        return None  # it holds the weight of its parent module
    for leaf, parameter in module.named_parameters(recurse=False):
        if torch.nn.parameter.is_lazy(parameter) or sum(size > 1 for size in parameter.shape) < 2:
            continue
        kind, asked = type(module).__name__, any(fnmatchcase(name, pattern) for pattern in patterns or ())
        why = f'its parameter is {leaf}, not weight; if it is binary, use @adapter("mine", {kind}, weight="{leaf}")'
        if isinstance(module, torch.jit.ScriptModule):
            why = f"it {_IN_JIT}"
        if patterns is not None and not asked:
            why = "not selected by layers="
        return Verdict(name, kind, tuple(parameter.shape), None, why, refused=asked)
    return None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A weight that may be binary: the recognized module, the module with the weight, and the adapter's meaning."""

    name: str
    module: torch.nn.Module
    owner: torch.nn.Module
    leaf: str
    adapter: Adapter | None
    meaning: Meaning | InputError

    def judge(self, patterns: Sequence[str] | None) -> Verdict:
        """Whether the weight is recorded, given the user's patterns, if any."""
        kind = type(self.owner).__name__
        shape = self._shown_shape()
        if patterns is not None and not any(fnmatchcase(self.name, pattern) for pattern in patterns):
            return Verdict(self.name, kind, shape, None, "not selected by layers=")
        try:
            layer = self._layer(asked=patterns is not None)
        except InputError as error:
            return Verdict(self.name, kind, shape, None, str(error), refused=True)
        if layer is None:
            return Verdict(self.name, kind, shape, None, self._unknown())
        return Verdict(self.name, kind, layer.shape, layer, layer.why)

    def _shown_shape(self) -> tuple[int, ...]:
        found = weight_of(self.owner)
        return () if found is None or torch.nn.parameter.is_lazy(found[1]) else tuple(found[1].shape)

    def _unknown(self) -> str:
        kind = type(self.owner).__name__
        near = [adapter.name for adapter in registered() if adapter.fits(self.module)]
        if not near:
            return f"no adapter knows {kind}"
        own = sorted({**dict(self.owner.named_parameters()), **dict(self.owner.named_buffers())})
        return f"{kind} with {', '.join(own)} fits none of the adapters for that class name ({', '.join(near)})"

    def _layer(self, *, asked: bool) -> BinaryLayer | None:
        """The layer, or None if nothing shows that it is binary; raise InputError if it cannot be recorded."""
        if isinstance(self.meaning, InputError):
            raise self.meaning
        if self.adapter is None:
            return self._unadapted(asked=asked)
        latent = latent_of(self.owner, self.leaf)
        shape = self.adapter.shape_in(self.module, latent, self.meaning)
        why = self.adapter.reason(type(self.module).__name__)
        if isinstance(self.meaning, WeightTransform):
            return self._made(self.adapter.name, why, latent, shape, self.meaning)
        if isinstance(self.meaning, Quantizer):
            return self._with_levels(self.adapter, why, latent, shape, self.meaning)
        return self._made(self.adapter.name, why, latent, shape, partial(_effective_weight, self.adapter, self.module))

    def _unadapted(self, *, asked: bool) -> BinaryLayer | None:
        """A layer that no adapter recognizes, but that is selected by name or parametrized to two values."""
        if asked:
            latent = latent_of(self.owner, self.leaf)
            why = "selected by layers=; assumed to use its plain sign"
            shape = () if torch.nn.parameter.is_lazy(latent) else tuple(latent.shape)
            return self._made("sign", why, latent, shape, WeightTransform())
        if torch.nn.utils.parametrize.is_parametrized(self.owner, self.leaf):
            value = computed(self.owner, self.leaf)
            if two_valued(value.reshape(len(value), -1)):
                latent = latent_of(self.owner, self.leaf)
                why = "its weight is parametrized to two values per channel"
                return self._made("parametrized", why, latent, tuple(value.shape), WeightTransform())
        return None

    def _with_levels(
        self, known: Adapter, why: str, latent: torch.Tensor, shape: tuple[int, ...], quantizer: Quantizer
    ) -> BinaryLayer:
        """A layer with more than two levels; InputError if its quantizer does not fit its weights."""
        if torch.nn.utils.parametrize.is_parametrized(self.owner, self.leaf):
            raise InputError(
                f"its {self.leaf} is parametrized, and a quantizer is recorded only of latent weights; quantize the "
                "parameter itself"
            )
        layer = self._made(known.name, why, latent, shape, WeightTransform())
        requantize = partial(_quantizer, known, self.module) if quantizer.rule == "given" else None
        layer = replace(layer, quantizer=quantizer, requantize=requantize)
        if is_distributed(latent):  # refused when a recording begins; its steps would need other processes
            return layer
        step, zero = layer.steps()
        if not latent.is_meta:
            check_first(step, zero)
        return layer

    def _made(
        self,
        adapter: str,
        why: str,
        latent: torch.Tensor,
        shape: tuple[int, ...],
        rule: WeightTransform | partial[torch.Tensor],
    ) -> BinaryLayer:
        refuse_unusable(latent, shape)
        if not isinstance(latent, torch.nn.Parameter):
            raise InputError(f"its {self.leaf} is not a parameter")
        transform = rule if isinstance(rule, WeightTransform) else None
        effective = rule if isinstance(rule, partial) else None
        if transform is not None and torch.nn.utils.parametrize.is_parametrized(self.owner, self.leaf):
            # The layer transforms the output of the parametrization.
            effective, transform = partial(_through, transform, self.owner, self.leaf, shape), None
            why += "; applied to the output of its parametrization"
        known = self.adapter
        return BinaryLayer(
            self.name, self.owner, adapter, transform, why, latent, shape, effective, watched=self.module,
            approximate=known is not None and known.approximate,
            in_place=known is not None and known.in_place,
            one_size=known is None or known.scale == "channel",
        )  # fmt: skip


def _effective_weight(adapter: Adapter, module: torch.nn.Module) -> torch.Tensor:
    """The current effective weight according to an adapter."""
    value = adapter.meaning(module)
    if not isinstance(value, torch.Tensor):
        raise InputError(f"adapter {adapter.name!r} returned an effective weight before, but returns none now")
    return value.detach()


def _quantizer(adapter: Adapter, module: torch.nn.Module) -> Quantizer:
    """The current quantizer according to an adapter."""
    value = adapter.meaning(module)
    if not isinstance(value, Quantizer):
        raise InputError(f"adapter {adapter.name!r} returned a quantizer before, but returns none now")
    return value


def _through(transform: WeightTransform, owner: torch.nn.Module, leaf: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The standardized weight of a layer whose weight is parametrized."""
    value = computed(owner, leaf)
    return torch.from_numpy(transform.standardized(value.double().cpu().view(shape).numpy())).to(value.device)


def _candidate_text(verdicts: Sequence[Verdict]) -> str:
    """The classes whose weights may be binary, those of the user first, and how to declare them binary."""
    if not verdicts:
        return "no module with a weight"
    by_kind: dict[str, list[str]] = {}
    for verdict in sorted(verdicts, key=lambda each: hasattr(torch.nn, each.kind)):
        by_kind.setdefault(verdict.kind, []).append(verdict.name or "(itself)")
    classes = [f"{kind} ({listed(names, 1)})" for kind, names in by_kind.items()]
    kind, (name, *_) = next(iter(by_kind.items()))
    return (
        f"{listed(classes, CLASSES)}; name the binary layers, such as layers=[{name!r}], or declare a class as binary "
        f'with @ra.adapter("mine", {kind})'
    )


def _nearest(pattern: str, verdicts: Sequence[Verdict]) -> str:
    """The modules that a mistyped pattern may mean, else those of the model."""
    near = near_names(pattern, [verdict.name for verdict in verdicts])
    if near:
        return f"did you mean {' or '.join(near)}?"
    seen = [f"{verdict.name or '(itself)'}: {verdict.kind}" for verdict in verdicts]
    return f"the model has {listed(seen, LISTED) if seen else 'no module with a weight'}"
