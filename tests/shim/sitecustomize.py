"""Loaded by Python itself in processes that have this folder on their path.

torchvision's wheel is built for CUDA: beside a torch without it, its compiled operators can't be loaded, and its import
fails unless these two have been declared. Its networks use none of them.
"""

import builtins

import torch

if torch.version.cuda is None:
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    builtins.torchvision_operators = library  # they are gone when it is
