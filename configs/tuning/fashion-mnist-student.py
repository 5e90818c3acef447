# The student of configs/fashion_mnist without distillation, on the validation split.
config = '../fashion_mnist/fashion-mnist_student.py'

rates = [
    {'optim_wrapper.optimizer.lr': lr, 'optim_wrapper.optimizer.weight_decay': decay}
    for lr in (1e-3, 2e-3, 4e-3, 8e-3)
    for decay in (0.05, 0.3)
]
tries = rates
