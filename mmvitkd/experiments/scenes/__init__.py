"""Digits over photographs, drawn for detection and segmentation, to fine-tune on."""
