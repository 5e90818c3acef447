from typing import Any

from mmpretrain.models import BaseClassifier, HuggingFaceClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.registry import MODELS


@MODELS.register_module()
class HuggingFaceModel(HuggingFaceClassifier):
    """A model of Hugging Face without a classification head, to be a teacher.

    MMPretrain's ``HuggingFaceClassifier`` takes those that have a class for image
    classification, which DINOv3 has not. Its features can be tapped as any other's; it
    has no classes, so that terms on logits are none of its.

    .. code:: python

        teacher=dict(cfg=dict(
            type='HuggingFaceModel', pretrained=True,
            model_name='facebook/dinov3-vits16-pretrain-lvd1689m'))

    Args:
        model_name: Of the hub, or a folder.
        pretrained: Whether to fetch its weights. Defaults to False.
        auto_class: The class of ``transformers`` that makes it. Of models of images
            and texts it is that of the images, such as ``'CLIPVisionModel'`` or
            ``'SiglipVisionModel'``. Defaults to ``'AutoModel'``.
        data_preprocessor: As for ``HuggingFaceClassifier``.
        init_cfg: MMEngine's initialisation config. Defaults to None.
        **kwargs: For ``from_pretrained``.

    Raises:
        ValueError: If ``transformers`` has no such class, or its model hides patches at
            random, as that of MAE's pre-training.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = False,
        auto_class: str = 'AutoModel',
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        import transformers

        preprocessor = {
            'type': 'mmpretrain.ClsDataPreprocessor',
            **(data_preprocessor or {}),
        }
        # HuggingFaceClassifier's own would make another model
        BaseClassifier.__init__(self, init_cfg=init_cfg, data_preprocessor=preprocessor)
        kind = getattr(transformers, auto_class, None)
        if kind is None:
            raise ValueError(
                f"transformers {transformers.__version__} has no class '{auto_class}': "
                "auto_class is 'AutoModel', or such as 'CLIPVisionModel'"
            )
        if pretrained:
            self.model: nn.Module = kind.from_pretrained(model_name, **kwargs)
        elif hasattr(kind, 'from_config'):
            config = transformers.AutoConfig.from_pretrained(model_name, **kwargs)
            self.model = kind.from_config(config)
        else:
            config = kind.config_class.from_pretrained(model_name, **kwargs)
            self.model = kind(config)
        if type(self.model).__name__.startswith('ViTMAE'):
            raise ValueError(
                f"'{model_name}' is a ViTMAEModel, which hides patches at random in "
                "every forward: auto_class='ViTModel' reads the same weights and sees "
                'whole images'
            )
        self.with_cp = False
        self._register_state_dict_hook(self._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor:
        """Return the tokens ``(B, L, C)`` behind the last block.

        Raises:
            ValueError: If ``mode`` is another than ``'tensor'``.
        """
        if mode != 'tensor':
            self.loss(inputs, data_samples)
        return self.model(inputs).last_hidden_state

    def loss(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Refuse to be trained, or to predict.

        Raises:
            ValueError: Always, as there are no classes.
        """
        raise ValueError(
            'a HuggingFaceModel has no classes to train or to predict: as a student '
            'take a HuggingFaceClassifier'
        )
