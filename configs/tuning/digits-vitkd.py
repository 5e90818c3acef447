# The weights of the paper's equation 6, in as many tries as the student alone had.
#   python -m mmvitkd tune configs/tuning/digits-vitkd.py
config = '../digits/vitkd_digits.py'
teacher = '../digits/digits_teacher.py'
tries = [
    {
        'model.terms.mimic0.loss.loss_weight': alpha,
        'model.terms.mimic1.loss.loss_weight': alpha,
        'model.terms.gen.loss.loss_weight': beta,
    }
    for alpha in (1e-4, 1e-3, 1e-2, 1e-1)
    for beta in (1e-5, 1e-4, 1e-3, 1e-2)
]
