import re
from pathlib import Path

import pytest
from peers import peers
from torch import nn

from sklab.models.sk import SKConv2d

PAGE = Path(__file__).parents[2] / "docs" / "convert.md"
MINE, TIMM = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_on_the_page_does_what_the_page_says():
    names = {}
    exec(MINE, names)
    selective = names["selective"]
    assert names["logits"].shape == (2, 8, 16, 16)
    assert isinstance(selective[3], SKConv2d)
    for branch in selective[3].branches:
        conv, *rest = branch
        assert isinstance(conv, nn.Conv2d)
        assert [type(part) for part in rest] == [nn.BatchNorm2d, nn.ReLU6]
    assert [type(part) for part in selective[4:6]] == [nn.Identity, nn.Identity]
    assert [type(part) for part in names["network"][3:6]] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]


@pytest.mark.slow
def test_the_example_with_timm_runs():
    names = {}
    with peers():
        exec(TIMM, names)
    assert any(isinstance(part, SKConv2d) for part in names["selective"].modules())
