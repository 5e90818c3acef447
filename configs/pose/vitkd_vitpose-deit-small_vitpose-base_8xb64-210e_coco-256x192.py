# As its base, with ViTKD on the tokens beside the heat maps, in both halves: the
# backbone was distilled before (configs/vitkd)
#   bash tools/dist_train.sh \
#       configs/pose/vitkd_vitpose-deit-small_vitpose-base_8xb64-210e_coco-256x192.py 8
# ViTKD's paper distils backbones alone; not yet run.
_base_ = [
    './kd_vitpose-deit-small_vitpose-base_8xb64-210e_coco-256x192.py',
    '../_base_/terms/vitkd_vit.py',
]

# 192 tokens, so the paper's weights
model = dict(terms=_base_.vitkd_terms)
