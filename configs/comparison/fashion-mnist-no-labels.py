# What are 18,000 more images worth, without their labels? By the protocol of
# fashion-mnist.py.
_base_ = './fashion-mnist.py'

title = 'More images, without labels, on Fashion-MNIST'
to_beat = 'student alone, 20,000 labels'
# 10 epochs of 200 steps, 100 of them to warm up, are as many as 100 of 20
every_image = {
    'train_dataloader.dataset.num_labels': 20000,
    'train_cfg.max_epochs': 10,
    'train_cfg.val_interval': 5,
    'param_scheduler.0.end': 0.5,
}
kd = '../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py'

methods = [
    dict(name='student alone', config='../fashion_mnist/fashion-mnist_student.py'),
    dict(
        name='KD',
        terms_of=kd,
        weights="half each for labels and teacher, temperature 1, of ViTKD's code",
    ),
    dict(
        name='KD, 20,000 images, no labels',
        config='kd-without-labels_digits.py',
        options=every_image,
        tuned=[],  # nothing is weighed against it
    ),
    dict(
        name='manifold, 20,000 images, no labels',
        config='../manifold/manifold_digits.py',
        options=every_image,
        tuned=['manifold'],
        weights="its authors'",
    ),
    dict(
        name='MiniViT, 20,000 images, no labels',
        config='../minivit/minivit_digits.py',
        options=every_image,
        tuned=['attn', 'hidden'],
        weights="its authors'",
    ),
    dict(
        name='student alone, 20,000 labels',
        config='../fashion_mnist/fashion-mnist_student.py',
        options=every_image,
    ),
]
excluded = dict(_delete_=True)
