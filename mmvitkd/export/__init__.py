"""Students as files for other programs, compared with PyTorch before they are written.

``export.py`` is the whole way; ``student.py`` finds the student, ``images.py`` what it
is shown, ``graph.py`` traces it, ``formats.py`` writes and reads the formats.
"""

# formats, and how their files end
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2', 'safetensors': '.safetensors'}
