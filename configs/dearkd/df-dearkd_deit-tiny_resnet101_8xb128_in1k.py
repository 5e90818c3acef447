# As its base, without data (DF-DearKD, arXiv:2204.12997): DeiT-Tiny learns from images
# that are made of the ResNet-101. ImageNet is read for validation alone.
#   C=configs/dearkd/df-dearkd_deit-tiny_resnet101_8xb128_in1k.py
#   python -m mmvitkd synthesise $C --count 140000 --out data/df-dearkd_resnet101
#   bash tools/dist_train.sh $C 8
# Its figures in the paper are in metafile.yml; not reproducible from public facts.
_base_ = './dearkd_deit-tiny_resnet101_8xb128_in1k.py'

# its folders 000 to 999 are numbered as ImageNet's are
train_dataloader = dict(dataset=dict(data_root='data/df-dearkd_resnet101'))
