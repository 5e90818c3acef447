# The methods that `python -m mmvitkd compare` compares on digits, by which protocol.
# README.md says how to read and to extend this; paths are relative to this file.

title = 'Methods, compared on digits'

# All have this student, data, augmentation, optimiser and schedule. What a method needs
# otherwise is named in its `differs`; any other difference is refused.
student = '../digits/digits_student.py'
# student and teacher of a method that has its terms from a config for ImageNet
pair = '../digits/vitkd_digits.py'
# the configs' teachers, by the folder of their checkpoint
teachers = dict(
    ViT='../digits/digits_teacher.py',
    ResNet='../digits/digits_teacher-resnet.py',
    ResNet2x2='../cskd/cskd-teacher_digits.py',  # places of its last map
    itself='../digits/digits_student.py',
)
# validated four times a run, as no epoch is chosen by it
options = {'train_cfg.val_interval': 50}

# what multiplies the weights of a method's terms, tried on the validation split
factors = [1 / 4, 1, 4]
first_tuning_seed = 100  # those of the test begin at 0
without_factor = (
    'A student alone has no factor: the learning rate, weight decay and shift that all '
    'share were chosen for it, in 16 tries (configs/digits/README.md).'
)

# whose accuracies (the first two) and step (the last) all are compared with
baseline = 'student alone'
to_beat = 'KD, long schedule'
timed_against = 'KD'

# The sums of ViTKD's two losses run over 196 tokens of 384 channels there, here over 16
# of 128; correlation matrices have 196 * 196 entries there, here 16 * 16.
same_sum = 196 * 384 / (16 * 128)
same_matrix = (196 / 16) ** 2

lifted = "lifts its tokens to the teacher's width, and classifies their mean"
wide_last = {
    'model.student': "a last block of the teacher's width, 3.2 times the multiply-adds",
    'optim_wrapper.paramwise_cfg': 'a lower rate for what is wider, or it collapses',
}
extra_token = 'a token and a head for the teacher'
# the analysis paper has 500 epochs beside 300: 200 * 5 / 3
long_schedule = {'train_cfg.max_epochs': 333}

# `weights`: where those at factor 1 are from; `scale` multiplies them, at every factor.
methods = [
    dict(name='student alone', config='../digits/digits_student.py'),
    dict(
        name='student alone, long schedule',
        config='../digits/digits_student.py',
        options=long_schedule,
    ),
    dict(
        name='KD',
        terms_of='../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="half each for labels and teacher, temperature 1, of ViTKD's code",
    ),
    dict(
        name='KD, long schedule',
        terms_of='../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py',
        options=long_schedule,
        weights="KD's",
    ),
    dict(
        name='Hard KD',
        terms_of='../hard_kd/hard-kd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="DeiT's: half each",
    ),
    dict(
        name='NKD',
        terms_of='../nkd/nkd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="of ViTKD's code: gamma 1, temperature 1",
    ),
    dict(
        name='DKD',
        terms_of='../dkd/dkd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="its authors' for ImageNet",
    ),
    dict(
        name='DIST',
        terms_of='../dist/dist_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="its authors' for ImageNet",
    ),
    dict(
        name='logit MSE',
        config='../logit_mse/logit-mse_digits.py',
        tuned=[],  # nothing is weighed against it
        weights='no labels, and no other term: without a factor',
    ),
    dict(
        name='MaskedKD',
        config='../maskedkd/maskedkd_digits.py',
        weights="KD's; the teacher sees 8 of 16 patches",
    ),
    dict(
        name="DeiT's token, hard",
        config='../deit_distilled/deit-hard_digits.py',
        differs={'model.student': extra_token},
        weights="DeiT's: half each",
    ),
    dict(
        name="DeiT's token, soft",
        config='../deit_distilled/deit-soft_digits.py',
        differs={'model.student': extra_token},
        weights="DeiT's: 0.9 for labels, 0.1 for the teacher, temperature 3",
    ),
    dict(
        name='FitNet, last layer',
        terms_of='../fitnet/fitnet-last_deit-tiny_deit3-small_8xb128_in1k.py',
        scale=same_sum,
        weights="ViTKD's alpha, scaled to this sum",
    ),
    dict(
        name='MGD',
        terms_of='../mgd/mgd_deit-tiny_deit3-small_8xb128_in1k.py',
        scale=same_sum,
        weights="its authors' for CNNs, scaled to this sum",
    ),
    dict(
        name='correlation matrices',
        terms_of='../correlation/correlation_deit-tiny_deit3-small_8xb128_in1k.py',
        scale=same_matrix,
        weights="our choice: ViTKD's alpha, scaled to this sum",
    ),
    dict(
        name='RKD',
        terms_of='../rkd/rkd_deit-tiny_deit3-small_8xb128_in1k.py',
        weights="its authors' for classification",
    ),
    dict(
        name='PKD-Last',
        config='../pkd/pkd-last_digits.py',
        weights="one of its authors' four, for two layers as for five",
    ),
    dict(
        name='manifold',
        config='../manifold/manifold_digits.py',
        tuned=['manifold'],
        weights="its authors'; no labels",
    ),
    dict(
        name='SpectralKD',
        config='../spectral_kd/spectral-kd_digits.py',
        weights="its authors': 0.1 for labels, 0.9 for KD, 0.2",
    ),
    dict(
        name='ProjectorKD',
        config='../projector_kd/projector-kd_digits.py',
        weights="its authors': 0.1 for labels, 0.9 for KD, 0.2",
    ),
    dict(
        name='Lift, student alone',
        config='../encoding_mismatch/lift-student_digits.py',
        differs={'model.student': lifted},
    ),
    dict(
        name='Lift',
        config='../encoding_mismatch/lift_digits.py',
        differs={'model.student': lifted},
        weights="its authors': 0.1 for labels, 0.9 for KD, 0.2",
    ),
    dict(
        name='WideLast, student alone',
        config='../encoding_mismatch/wide-last-student_digits.py',
        differs=wide_last,
    ),
    dict(
        name='WideLast',
        config='../encoding_mismatch/wide-last_digits.py',
        differs=wide_last,
        weights="its authors': 0.1 for labels, 0.9 for KD, 0.2",
    ),
    dict(
        name='CSKD',
        config='../cskd/cskd_digits.py',
        differs={
            'model.student': 'a token and a head for the teacher, for patches, too',
            'custom_hooks': 'how much the place says, and how much the whole image',
        },
        weights="its authors': half each for labels and hard labels, 1 for patches",
    ),
    dict(
        name='VkD',
        config='../vkd/vkd_digits.py',
        differs={'model.student': 'a convolutional stem, a token of it and its head'},
        weights="its authors': 1 each",
    ),
    dict(
        name='VkD, plain student',
        config='../vkd/vkd-plain_digits.py',
        weights="its authors': 1 each",
    ),
    dict(
        name='ScaleKD',
        config='../scalekd/scalekd_digits.py',
        weights="its authors', scaled to 16 places: half each for labels and KD",
    ),
    dict(
        name='MiniViT',
        config='../minivit/minivit_digits.py',
        tuned=['attn', 'hidden'],
        weights="its authors'; no labels",
    ),
    dict(
        name='Attention Probe',
        config='../attention_probe/attention-probe_digits.py',
        tuned=['probe'],
        differs={'optim_wrapper.paramwise_cfg': "a rate for the teacher's mistakes"},
        weights="its authors'; no labels",
    ),
    dict(
        name='TaT',
        config='../tat/tat_digits.py',
        weights="its authors' for ImageNet: 0.1 for labels, 0.2",
    ),
    dict(
        name='Co-advise',
        config='../co_advise/co-advise_digits.py',
        differs={'model.student': 'two tokens of convolutional stems, and their heads'},
        weights="its authors': 1 each",
    ),
    dict(
        name='Co-advise, plain tokens',
        config='../co_advise/co-advise-plain_digits.py',
        differs={'model.student': 'two tokens, and their heads'},
        weights="its authors': 1 each",
    ),
    dict(
        name='LIB-KD',
        config='../lib_kd/lib-kd_digits.py',
        weights="KD's, the teacher's half shared by two",
    ),
    dict(
        name='SSD',
        config='../ssd/ssd_digits.py',
        weights='our choice: half each; its teacher is the student alone, of seed 0',
    ),
    dict(
        name='DearKD',
        config='../dearkd/dearkd_digits.py',
        differs={
            'model.student': 'a token and a head; two layers attend locally, too',
            'optim_wrapper.paramwise_cfg': 'no decay of what makes attention local',
            'custom_hooks': 'labels alone from epoch 167 of 200 on; timed before that',
        },
        weights='our choice: half each for labels and hard labels, 1 for features',
    ),
    dict(
        name='ViTKD',
        config='../digits/vitkd_digits.py',
        weights="the paper's, scaled to these sums, rounded: 1e-3 and 1e-4",
    ),
    dict(
        name='ViTKD + NKD',
        config='../digits/vitkd-nkd_digits.py',
        weights='those of ViTKD and of NKD',
    ),
]

# Methods that are left out, by how their config's name begins, for the page to say so.
excluded = {
    'cross-arch': 'its student is a CNN, which no other method here teaches',
    'fitnet-last6': 'as FitNet, on more layers: results/fitnet-weights.md',
    'fitnet-all12': 'as FitNet, on more layers: results/fitnet-weights.md',
    'pkd-skip': 'as PKD-Last, on other layers',
    'df-dearkd': 'trains with images that are made of the teacher, not with these',
    'ta1': 'teaches an assistant, a ViT of width 64: configs/teacher_assistant',
    'tinyvit-pretrain': 'a first stage, whose second has 200 labels: configs/tinyvit',
    **dict.fromkeys(
        ('tinymim-pretrain', 'tinymim-finetune'),
        'a stage without labels and then one with 200: configs/tinymim',
    ),
    'vanilla-kd': 'as KD, long schedule, with more epochs',
    **dict.fromkeys(
        ('lightly-v3', 'lightly-v3-finetune', 'proteus', 'proteus-finetune', 'unic'),
        'its student has no head until it is fine-tuned: docs/without_labels.md',
    ),
    'mini-deit': 'MiniViT, for a student of 50,330 parameters instead of 83,370',
    **dict.fromkeys(
        ('uvc', 'uvc-finetune', 'uvc-widths', 'uvc-widths-finetune'),
        'compresses a trained student, to another one: configs/uvc/README.md',
    ),
    **dict.fromkeys(
        ('intra-class', 'inter-class', 'self-supervised'),
        'trains a teacher: results/plan3_contrastive-teachers.md',
    ),
}
