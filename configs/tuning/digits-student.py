# How the student's training was chosen: learning rate, width of the shift and weight
# decay, for all arms of the quickstart.
#   python -m mmvitkd tune configs/tuning/digits-student.py
config = '../digits/digits_student.py'
tries = [
    {
        'optim_wrapper.optimizer.lr': lr,
        'train_dataloader.dataset.pipeline.1.padding': shift,
        'optim_wrapper.optimizer.weight_decay': decay,
    }
    for lr in (2e-3, 4e-3, 8e-3, 16e-3)
    for shift in (2, 4)
    for decay in (0.05, 0.3)
]
