"""Train a detector, a segmentor or a pose estimator by mmdet, mmseg or mmpose.

The options are those of ``python -m mmvitkd train``, which does the work, and so all of
upstream's: --work-dir, --resume, --amp, --auto-scale-lr, --cfg-options and --launcher.
"""

from mmvitkd.commands import main

if __name__ == '__main__':
    main('train')
