"""Students as files for other programs, compared with PyTorch before they are written.

``export.py`` is the whole way; ``student.py`` finds the student, ``images.py`` what it
is shown, ``graph.py`` traces it, ``formats.py`` writes and reads files; ``hubs.py``
writes the folders of timm and Hugging Face, by the ``names.py`` that these have for the
weights, with a ``card.py``; ``publish.py`` brings these to the hub.
"""

# formats, and how their files end
SUFFIXES = {'onnx': '.onnx', 'torch-export': '.pt2', 'safetensors': '.safetensors'}
FOLDERS = ('timm', 'huggingface')  # formats that are folders
