"""Models to analyse: any MMPretrain classifier, timm's and HuggingFace's."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmvitkd.analysis import attend
from mmvitkd.models.classifiers.tap import Feature, Tap, record
from mmvitkd.models.classifiers.teacher import (
    in_our_scope,
    model_cfg_of,
    natural_input_size,
)
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils import load_checkpoint, load_strictly, weights_of
from mmvitkd.utils.blocks import input_channels
from mmvitkd.utils.export import PREFIX

from .images import SIZE, Image, stack

# names of the linear layers that make queries, keys and values, fused or not
INPUTS = (
    ('qkv',),
    ('query', 'key', 'value'),
    ('q_proj', 'k_proj', 'v_proj'),
    ('q', 'k', 'v'),
)
# names of the linear layer that follows; HuggingFace's is beside the attention
OUTPUTS = ('proj', 'out_proj', 'o_proj')
TOLERANCE = 1e-4  # of recomputed attention, relative to the largest value


@dataclass(frozen=True)
class Layer:
    """What one block yields for a batch.

    Args:
        tokens: Patch tokens ``(B, N, C)`` with their grid.
        extra: The tokens before them, ``(B, E, C)``: class, distillation, register.
        qkv: ``(B, E + N, 3C)`` as the softmax takes them, or None where the attention
            maps can't be recomputed from them.
    """

    tokens: Feature
    extra: Tensor
    qkv: Tensor | None


@dataclass(frozen=True)
class Captured:
    """What a model yields for a batch: its layers, shallow to deep, and ``(B, K)``."""

    layers: list[Layer]
    logits: Tensor


@dataclass(frozen=True)
class Attention:
    """Where a block's attention lies: paths of its linear layers, and its heads."""

    path: str
    inputs: tuple[str, ...]
    output: str | None
    heads: int


class Classifier:
    """A frozen classifier that predicts, whatever it is made of.

    Args:
        name: What figures call it.
        classifier: With its weights; put into eval mode.

    Raises:
        ValueError: If it does not yield logits of classes.
    """

    def __init__(self, name: str, classifier: Any) -> None:
        self.name = name
        self.classifier = classifier
        classifier.requires_grad_(False)
        classifier.eval()
        self.blocks: list[str] = []
        self.input_size = natural_input_size(classifier)

    @torch.no_grad()
    def capture(self, images: list[Image]) -> Captured:
        """Ask about a batch, preprocessed and resized as the model wants it.

        Raises:
            ValueError: If the images differ in size.
        """
        return self.run(self.prepare(stack(images)))

    def prepare(self, x: Tensor) -> Tensor:
        """Resize and normalise ``(B, 3, H, W)``, RGB, 0 to 255."""
        if self.input_size not in (None, tuple(x.shape[-2:])):
            x = F.interpolate(x, self.input_size, mode='bilinear', antialias=True)
        preprocessor = self.classifier.data_preprocessor
        if input_channels(self.classifier) == 1:  # it takes grey ones
            x = x.mean(1, keepdim=True)
        if getattr(preprocessor, 'to_rgb', False):  # it takes BGR
            x = x.flip(1)
        return preprocessor({'inputs': x})['inputs']

    def run(self, inputs: Tensor) -> Captured:
        """Ask about ``(B, 3, H, W)``, as the model takes them."""
        return Captured([], self._logits(inputs))

    @torch.no_grad()
    def _logits(self, inputs: Tensor) -> Tensor:
        logits = self.classifier(inputs)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ValueError(f"model '{self.name}' yields no logits (B, K)")
        return logits


class Model(Classifier):
    """A frozen classifier that tells what every block does in one forward.

    Args:
        name: What figures call it.
        classifier: With its weights; put into eval mode.

    Raises:
        ValueError: If it has no blocks with attention, or one can't be read.
    """

    def __init__(self, name: str, classifier: Any) -> None:
        super().__init__(name, classifier)
        self._attention = _find_attention(classifier)
        if not self._attention:
            raise ValueError(
                f"model '{name}' ({type(classifier).__name__}) has no blocks with "
                'attention: analyse a vision transformer'
            )
        self.blocks = list(self._attention)
        size = self.input_size or (SIZE, SIZE)
        noise = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
        inputs = self.prepare(noise * 255)
        self.no_maps = self._why_no_maps(inputs)
        last = self.run(inputs).layers[-1]
        self.width = last.tokens.value.shape[-1]
        assert last.tokens.hw is not None  # patch tokens have one
        self.grid = last.tokens.hw
        self.extra_tokens = last.extra.shape[1]

    def num_heads(self, block: str) -> int:
        """Return how many heads a block's attention has."""
        return self._attention[block].heads

    def keep(self, layers: Sequence[int]) -> None:
        """Look at some blocks only, from now on.

        Args:
            layers: Their numbers, from 0 on.

        Raises:
            ValueError: If there is no such block.
        """
        wrong = [n for n in layers if not 0 <= n < len(self.blocks)]
        if wrong:
            raise ValueError(
                f"model '{self.name}' has the layers 0 to {len(self.blocks) - 1}, "
                f'not {wrong}'
            )
        self.blocks = list(dict.fromkeys(self.blocks[n] for n in layers))
        self._attention = {block: self._attention[block] for block in self.blocks}

    @torch.no_grad()
    def run(self, inputs: Tensor) -> Captured:
        """Ask about ``(B, 3, H, W)``, as the model takes them."""
        taps = [Tap(b, kind) for b in self.blocks for kind in ('patch', 'all')]
        if self.no_maps is None:
            parts = self._attention.values()
            taps += [Tap(path, 'all') for part in parts for path in part.inputs]
        with record(self.classifier, taps) as seen:
            logits = self._logits(inputs)
        layers = []
        for block, attention in self._attention.items():
            tokens, every = seen[Tap(block)], seen[Tap(block, 'all')].value
            extra = every[:, : every.shape[1] - tokens.value.shape[1]]
            qkv = None if self.no_maps is not None else self._qkv(attention, seen)
            layers.append(Layer(tokens, extra, qkv))
        return Captured(layers, logits)

    def _qkv(self, attention: Attention, seen: dict[Tap, Feature]) -> Tensor:
        """Join queries, keys and values, normalised where the model does so."""
        parts = [seen[Tap(path, 'all')].value for path in attention.inputs]
        qkv = torch.cat(parts, dim=-1)
        module = self.classifier.get_submodule(attention.path)
        q, k, v = qkv.unflatten(-1, (3, attention.heads, -1)).unbind(2)
        q, k = (
            getattr(module, name, nn.Identity())(part)
            for name, part in (('q_norm', q), ('k_norm', k))
        )
        return torch.stack([q, k, v], dim=2).flatten(2)

    @torch.no_grad()
    def _why_no_maps(self, inputs: Tensor) -> str | None:
        """Compare recomputed attention with what the modules themselves yield."""
        parts = self._attention.values()
        paths = [p for part in parts for p in (*part.inputs, part.output) if p]
        wrong = self.blocks
        try:
            taps = [Tap(path, 'all') for path in (*paths, *self.blocks)]
            with record(self.classifier, taps) as seen:
                self.classifier(inputs)
            wrong = [b for b in self.blocks if not self._reproduces(b, seen)]
        except ValueError:  # linear layers that are not called as modules
            pass
        if not wrong:
            return None
        module = self.classifier.get_submodule(self._attention[wrong[0]].path)
        return (
            f"the attention in '{wrong[0]}' ({type(module).__name__}) is not the plain "
            'softmax of queries and keys over all tokens'
        )

    def _reproduces(self, block: str, seen: dict[Tap, Feature]) -> bool:
        """Tell whether recomputed attention goes on as the block's own does."""
        attention = self._attention[block]
        if attention.output is None:
            return False
        own = seen[Tap(attention.output, 'all')].value
        if own.shape[:2] != seen[Tap(block, 'all')].value.shape[:2]:  # windows
            return False
        widths = [seen[Tap(path, 'all')].value.shape[-1] for path in attention.inputs]
        if len(set(widths)) > 1:  # queries share keys
            return False
        output: Any = self.classifier.get_submodule(attention.output)
        if sum(widths) != 3 * output.in_features:  # values are narrower than queries
            return False
        mixed = attend(self._qkv(attention, seen), attention.heads)
        return torch.allclose(
            output(mixed), own, atol=TOLERANCE * float(own.abs().max())
        )


def load(
    cfg: str,
    checkpoint: str | None = None,
    prefix: str = '',
    name: str | None = None,
    device: torch.device | str = 'cpu',
) -> Model:
    """Build a model to look into, and read its weights.

    Args and errors are those of :func:`load_classifier`; ``name`` is what figures call
    it, the last part of ``cfg`` by default; ``device`` is where it runs.
    """
    classifier = load_classifier(cfg, checkpoint, prefix).to(device)
    return Model(name or Path(cfg).stem, classifier)


def load_classifier(
    cfg: str | dict,
    checkpoint: str | None = None,
    prefix: str = '',
    headless: bool = False,
) -> Any:
    """Build a classifier and read its weights.

    Args:
        cfg: Config file or ``mmpretrain::...`` name of a classifier, or of a distiller,
            whose student is taken; ``timm:NAME``; ``hf:NAME`` or ``hf:FOLDER``; or a
            config itself.
        checkpoint: File or URL of the weights, of a classifier or of a distiller, whose
            student's are taken. May be left out where the library fetches its own.
            Defaults to None.
        prefix: Take the weights below it alone. Defaults to ``''``.
        headless: Whether one of Hugging Face that was saved without a classifier stays
            so, as its features are all that is wanted. Defaults to False: it gets one,
            of random weights.

    Raises:
        ValueError: If there is no such config or checkpoint, or they don't fit.
    """
    model_cfg = config_of(cfg, checkpoint is None, headless)
    called = 'of the config' if isinstance(cfg, dict) else cfg
    if checkpoint is None and not model_cfg.get('pretrained', False):
        raise ValueError(f"model '{called}' has no weights: give a checkpoint")
    classifier = _build(called, model_cfg)
    if checkpoint is not None:
        weights = weights_of(load_checkpoint(checkpoint))
        if not prefix and any(key.startswith(PREFIX) for key in weights):
            prefix = PREFIX
        weights = weights_of(weights, prefix)
        problems = load_strictly(classifier, weights)
        if problems:
            listed = textwrap.shorten(' '.join(problems), 300, placeholder=' ...')
            raise ValueError(
                f"checkpoint '{checkpoint}' does not fit '{called}': {listed}"
            )
    return classifier


def config_of(cfg: str | dict, pretrained: bool, headless: bool = False) -> ConfigDict:
    """Return the model's config; a distiller's is that of its student."""
    if isinstance(cfg, dict):
        return _student_of(model_cfg_of(cfg))
    if cfg.startswith('timm:'):
        return _timm_config(cfg.removeprefix('timm:'), pretrained)
    if cfg.startswith('hf:'):
        return _huggingface_config(cfg.removeprefix('hf:'), pretrained, headless)
    if '::' not in cfg and not Path(cfg).is_file():
        raise ValueError(f"config '{cfg}' does not exist")
    return _student_of(model_cfg_of(cfg))


def _student_of(model: ConfigDict) -> ConfigDict:
    if 'student' not in model:
        return model
    student = ConfigDict(model.student)
    student.pop('train_cfg', None)  # augments that training alone has
    if model.get('data_preprocessor') is not None:
        student['data_preprocessor'] = model.data_preprocessor
    return in_our_scope(student)


def _build(cfg: str, model_cfg: ConfigDict) -> Any:
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            return MODELS.build(model_cfg)
    except OSError as error:  # what HuggingFace raises when it finds no model
        raise ValueError(f"model '{cfg}': {str(error).splitlines()[0]}") from error


def _timm_config(name: str, pretrained: bool) -> ConfigDict:
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
        raise ValueError(
            f"timm has no model '{name}'; nearest: {', '.join(near) or 'none'}"
        )
    own: Any = timm.get_pretrained_cfg(name)
    return _wrapped('TimmClassifier', name, pretrained, own.mean, own.std)


def _huggingface_config(name: str, pretrained: bool, headless: bool) -> ConfigDict:
    from transformers.models.auto.image_processing_auto import (
        get_image_processor_config,
    )

    try:
        own = get_image_processor_config(name)
    except (OSError, ValueError):  # a name that can't be one
        own = {}
    if 'image_mean' not in own:
        raise ValueError(
            f"model 'hf:{name}': its folder is missing, or has no "
            'preprocessor_config.json that tells mean and std; write a config with '
            "type='HuggingFaceClassifier' and a data_preprocessor"
        )
    mean, std = own['image_mean'], own['image_std']
    wrapped = _wrapped('HuggingFaceClassifier', name, pretrained, mean, std)
    kind = _headless_class(name) if headless else None
    return (
        wrapped
        if kind is None
        else ConfigDict({**wrapped, 'type': 'HuggingFaceModel', 'auto_class': kind})
    )


def _headless_class(name: str) -> str | None:
    """Return the class of a model's image side; None if it was saved with classes."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name)
    saved = (config.architectures or [''])[0]
    if saved.endswith('ForImageClassification'):
        return None
    if config.model_type == 'vit_mae':  # whose own class hides patches
        return 'ViTModel'
    if hasattr(config, 'vision_config'):
        return saved.removesuffix('Model') + 'VisionModel'
    return 'AutoModel'


def _wrapped(kind: str, name: str, pretrained: bool, mean: Any, std: Any) -> ConfigDict:
    """Name another library's model, whose mean and std are of images from 0 to 1."""
    preprocessor = {
        'mean': [255 * value for value in mean],
        'std': [255 * value for value in std],
        'to_rgb': True,
    }
    return ConfigDict(
        type=kind,
        model_name=name,
        pretrained=pretrained,
        data_preprocessor=preprocessor,
    )


def _find_attention(model: nn.Module) -> dict[str, Attention]:
    """Map every block's path to its attention, shallow to deep."""
    found: dict[str, Attention] = {}
    for path, module in model.named_modules():
        block = _block_around(model, path)
        if block is not None and 'token_only' in block:
            continue  # CaiT's class attention, which yields the class token alone
        heads = getattr(module, 'num_heads', getattr(module, 'num_attention_heads', 0))
        for names in INPUTS:
            linears = [getattr(module, name, None) for name in names]
            fits = all(isinstance(linear, nn.Linear) for linear in linears)
            if fits and heads and block is not None:
                inputs = tuple(f'{path}.{name}' for name in names)
                attention = Attention(path, inputs, _output_of(model, path), heads)
                found.setdefault(block, attention)
    return found


def _block_around(model: nn.Module, path: str) -> str | None:
    """Return the innermost item of a list that a module lies in."""
    while '.' in path:
        parent = path.rpartition('.')[0]
        if isinstance(model.get_submodule(parent), (nn.ModuleList, nn.Sequential)):
            return path
        path = parent
    return None


def _output_of(model: nn.Module, path: str) -> str | None:
    """Return the path of the linear layer after an attention."""
    modules = dict(model.named_modules())
    parent = path.rpartition('.')[0]
    candidates = [f'{path}.{name}' for name in OUTPUTS] + [f'{parent}.output.dense']
    linears = (name for name in candidates if isinstance(modules.get(name), nn.Linear))
    return next(linears, None)
