import subprocess
import sys

import numpy as np
import pytest
import torch

from kit.base.errors import KitError
from kit.detector.ops import NAME, install_ops


@pytest.fixture(scope="module")
def mmcv_ops():
    assert install_ops() in ("torchvision", "mmcv")
    import mmcv.ops

    return mmcv.ops


def plain_nms(boxes, scores, threshold, offset):
    order = list(np.argsort(-scores, kind="stable"))
    kept = []
    while order:
        i = order.pop(0)
        kept.append(i)
        rest = []
        for j in order:
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0]) + offset
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1]) + offset
            inter = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0] + offset) * (b[3] - b[1] + offset) for b in (boxes[i], boxes[j])]
            if inter <= threshold * (sum(areas) - inter):
                rest.append(j)
        order = rest
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_nms_equals_plain_python(mmcv_ops, offset, threshold):
    rng = np.random.default_rng(0)
    for n in (0, 1, 40):
        corner = rng.uniform(0, 50, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (n, 2))], axis=1)
        scores = rng.permutation(n) / max(n, 1)
        got = mmcv_ops.nms(
            torch.tensor(boxes, dtype=torch.float64),
            torch.tensor(scores, dtype=torch.float64),
            threshold,
            offset,
        )[1]
        assert got.tolist() == plain_nms(boxes, scores, threshold, offset)


def bilinear(image, y, x):
    """Value and the weights of the four pixels at a point, as RoIAlign samples it."""
    height, width = image.shape
    weights = np.zeros_like(image)
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0, weights
    y, x = max(y, 0), max(x, 0)
    y0, x0 = min(int(y), height - 1), min(int(x), width - 1)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = (y - y0 if y0 < height - 1 else 0), (x - x0 if x0 < width - 1 else 0)
    for yy, xx, w in (
        (y0, x0, (1 - dy) * (1 - dx)),
        (y0, x1, (1 - dy) * dx),
        (y1, x0, dy * (1 - dx)),
        (y1, x1, dy * dx),
    ):
        weights[yy, xx] += w
    return float((weights * image).sum()), weights


def plain_roi_align(image, roi, size, scale, ratio, aligned):
    """Values (size, size), and their gradient with respect to every pixel (size, size, *image.shape)."""
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (v * scale - shift for v in roi)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1), max(height, 1)
    values, grads = np.zeros((size, size)), np.zeros((size, size, *image.shape))
    ny = ratio or int(np.ceil(height / size))
    nx = ratio or int(np.ceil(width / size))
    for i in range(size):
        for j in range(size):
            for iy in range(ny):
                for ix in range(nx):
                    y = y1 + i * height / size + (iy + 0.5) * height / size / ny
                    x = x1 + j * width / size + (ix + 0.5) * width / size / nx
                    value, weights = bilinear(image, y, x)
                    values[i, j] += value / (ny * nx)
                    grads[i, j] += weights / (ny * nx)
    return values, grads


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align_values_and_gradients_equal_plain_python(mmcv_ops, aligned, ratio):
    rng = np.random.default_rng(1)
    image = rng.random((8, 9))
    features = torch.tensor(image[None, None], requires_grad=True)
    for roi in ([1.0, 2.0, 14.0, 12.0], [-3.0, -2.0, 5.0, 30.0], [4.0, 4.0, 4.5, 4.5]):
        features.grad = None
        out = mmcv_ops.roi_align(
            features, torch.tensor([[0.0, *roi]], dtype=torch.float64), 3, 0.5, ratio, "avg", aligned
        )
        values, grads = plain_roi_align(image, roi, 3, 0.5, ratio, aligned)
        assert np.allclose(out.detach().numpy()[0, 0], values, atol=1e-9)
        weight = rng.random((3, 3))
        out.backward(torch.tensor(weight[None, None]))
        assert np.allclose(features.grad.numpy()[0, 0], np.tensordot(weight, grads, 2), atol=1e-9)


def test_what_torchvision_lacks_is_told_when_it_is_called(mmcv_ops):
    if not type(sys.modules[NAME]).__module__.startswith("kit."):
        pytest.skip("a compiled mmcv is installed")
    with pytest.raises(KitError, match="operator softnms is not available"):
        mmcv_ops.soft_nms(torch.zeros(1, 4), torch.ones(1))
    with pytest.raises(KitError, match="maximum pooling"):
        mmcv_ops.roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, "max", True)


def test_a_real_extension_is_left_alone():
    code = (
        "import sys, types\n"
        "real = types.ModuleType('mmcv._ext'); sys.modules['mmcv._ext'] = real\n"
        "from kit.detector.ops import install_ops\n"
        "assert install_ops() == 'mmcv' and sys.modules['mmcv._ext'] is real\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
