# How the students' training on Fashion-MNIST was chosen, without distillation:
# learning rate, weight decay and length.
#   python -m mmvitkd tune configs/tuning/fashion-mnist-student.py
config = '../fashion_mnist/fashion-mnist_student.py'
tries = [
    {
        'optim_wrapper.optimizer.lr': lr,
        'optim_wrapper.optimizer.weight_decay': 0.05,
        'train_cfg.max_epochs': epochs,
    }
    for epochs, rates in (
        (50, (2e-3, 4e-3, 8e-3)),
        (100, (4e-3, 8e-3, 16e-3)),
        (200, (4e-3, 8e-3)),
    )
    for lr in rates
]
