"""Train a detector, a segmentor or a pose estimator by mmdet, mmseg or mmpose.

The options are those of tools/train.py, which does the work, and so all of upstream's:
--work-dir, --resume, --amp, --auto-scale-lr, --cfg-options and --launcher.
"""

import runpy
from pathlib import Path

if __name__ == '__main__':
    runpy.run_path(
        str(Path(__file__).resolve().parents[1] / 'train.py'), {}, '__main__'
    )
