# And with a quarter of the labels? By fashion-mnist.py's protocol.
_base_ = './fashion-mnist.py'

title = 'Methods, compared on 500 labels of Fashion-MNIST'
# 400 epochs of 5 steps, 100 of them to warm up, are as many as 100 of 20
few_labels = {
    'train_dataloader.dataset.num_labels': 500,
    'train_cfg.max_epochs': 400,
    'train_cfg.val_interval': 200,
    'param_scheduler.0.end': 20,
}
options = {**_base_.options, **few_labels}
long_schedule = {'train_cfg.max_epochs': 667}
methods = [
    {**one, 'options': long_schedule} if one['name'] == 'KD, long schedule' else one
    for one in _base_.methods
    if one['name']
    in ('student alone', 'KD', 'KD, long schedule', 'NKD', 'ViTKD', 'ViTKD + NKD')
]
excluded = dict(_delete_=True)
