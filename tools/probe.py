"""``python -m mmvitkd probe``, for those who are used to OpenMMLab's tools."""

from mmvitkd.commands import main

if __name__ == '__main__':
    main('probe')
