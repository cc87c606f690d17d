"""ImageNet weights: what is taken, what is refused, and what the messages say. No download takes place."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision

from network import SegmentationNet, create_network, load_imagenet_weights
from network.input_spec import CAFFE, IMAGENET
from utils.errors import UserError


@pytest.fixture
def library_file(tmp_path: Path) -> Path:
    """A file like torchvision's resnet18, with weights of its own."""
    torch.manual_seed(1)
    state = torchvision.models.resnet18(weights=None).state_dict()
    state = {key: value + 0.5 if value.is_floating_point() else value for key, value in state.items()}
    path = tmp_path / "resnet18.pth"
    torch.save(state, path)
    return path


def test_every_entry_of_the_backbone_is_taken(library_file: Path):
    network = create_network("resnet18")
    load_imagenet_weights(network, library_file)
    source = torch.load(library_file, weights_only=True)
    own = network.backbone.state_dict()
    assert set(source) - set(own) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, source[key]) for key, value in own.items())


def test_affine_stem_site_starts_from_the_batch_norm_it_replaces(library_file: Path):
    network = create_network("resnet18", wt_layer=(0, 0, 4, 4, 0, 0, 0))
    load_imagenet_weights(network, library_file)
    source = torch.load(library_file, weights_only=True)
    assert torch.equal(network.backbone.bn1.weight, source["bn1.weight"])
    assert torch.equal(network.backbone.bn1.bias, source["bn1.bias"])
    assert torch.equal(network.backbone.site_norms["3"].weight, torch.ones(64))


def test_weights_without_batch_counts_are_enough(library_file: Path):
    source = torch.load(library_file, weights_only=True)
    torch.save({k: v for k, v in source.items() if not k.endswith("num_batches_tracked")}, library_file)
    load_imagenet_weights(create_network("resnet18"), library_file)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x1_0", "mnasnet0_5"])
def test_regrouped_backbones_find_their_library_names(name: str, tmp_path: Path):
    library = torchvision.models.get_model(name, weights=None).eval()
    torch.save(library.state_dict(), tmp_path / "weights.pth")
    network = create_network(name, output_stride=32).eval()
    load_imagenet_weights(network, tmp_path / "weights.pth")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        last = network.backbone(x)["layer4"]
        classifier = library.fc if name.startswith("shufflenet") else library.classifier
        torch.testing.assert_close(classifier(last.mean((2, 3))), library(x))


def test_vgg_takes_the_librarys_features_and_leaves_its_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As a file or by download. Only the features: the whole library model has 138 million weights."""
    torch.manual_seed(1)
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True).eval()
    library = {f"features.{key}": value for key, value in features.state_dict().items()}
    library["classifier.6.bias"] = torch.zeros(1000)
    torch.save(library, tmp_path / "weights.pth")
    network = create_network("vgg16_bn", output_stride=32, wt_layer=(0, 0, 0, 4, 0, 0, 0)).eval()
    load_imagenet_weights(network, tmp_path / "weights.pth")
    assert torch.equal(network.backbone.layer3[3].weight, features[27].weight)
    urls = []
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda url, *_, **__: urls.append(url) or library
    )
    network = create_network("vgg16_bn", output_stride=32).eval()
    load_imagenet_weights(network)
    assert urls[0].endswith("/vgg16_bn-6c64b313.pth")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.backbone(x)["layer4"], features(x))


def test_a_caffe_network_for_rgb_pictures_takes_the_librarys_weights_as_they_are(tmp_path: Path):
    """And has those of a network for Caffe's pictures converted."""
    torch.manual_seed(1)
    library = torchvision.models.resnet50(weights=None).state_dict()
    torch.save(library, tmp_path / "resnet50.pth")
    torch.save({f"Scale.{key}": value for key, value in library.items()}, tmp_path / "caffe.pth")
    network = create_network("resnet50_caffe_rgb", head="deeplabv2", output_stride=8)
    load_imagenet_weights(network, tmp_path / "resnet50.pth")
    assert all(torch.equal(value, library[key]) for key, value in network.backbone.state_dict().items())
    load_imagenet_weights(network, tmp_path / "caffe.pth")
    converted = IMAGENET.convert_convolution(library["conv1.weight"], CAFFE)
    assert torch.equal(network.backbone.conv1.weight, converted)
    assert torch.equal(network.backbone.bn1.weight, library["bn1.weight"])


def caffe_network() -> SegmentationNet:
    return create_network("resnet50_caffe", head="deeplabv2", output_stride=8, snr_stages=(1, 2, 3))


def test_the_file_that_adaptsegnet_starts_from(tmp_path: Path):
    """Every name with ``Scale.`` before it; a classifier, layer5, goes unused; no batch counts."""
    theirs = caffe_network().backbone.state_dict()
    own = {key: value + 0.5 for key, value in theirs.items() if value.is_floating_point()}
    state = {f"Scale.{key}": value for key, value in own.items() if "restitutions" not in key}
    state["Scale.layer5.conv2d_list.0.weight"] = torch.ones(21, 2048, 3, 3)
    torch.save(state, tmp_path / "init.pth")
    network = caffe_network()
    heads = {key: value.clone() for key, value in network.state_dict().items() if "backbone" not in key}
    load_imagenet_weights(network, tmp_path / "init.pth")
    loaded = network.backbone.state_dict()
    assert all(
        torch.equal(loaded[key.removeprefix("Scale.")], v) for key, v in state.items() if "layer5" not in key
    )
    assert torch.equal(network.backbone.restitutions["1"].norm.weight, torch.ones(256))
    assert all(torch.equal(network.state_dict()[key], value) for key, value in heads.items())
    del state["Scale.layer4.0.conv1.weight"]
    torch.save(state, tmp_path / "init.pth")
    with pytest.raises(UserError, match="1 of .* layer4.0.conv1.weight"):
        load_imagenet_weights(network, tmp_path / "init.pth")


def test_the_librarys_weights_fit_a_caffe_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a file or by download; the stem then sees the network's own pictures as the library's saw theirs."""
    torch.manual_seed(1)
    library = torchvision.models.resnet50(weights=None).state_dict()
    torch.save(library, tmp_path / "resnet50.pth")
    network = caffe_network()
    load_imagenet_weights(network, tmp_path / "resnet50.pth")
    own = network.backbone.state_dict()
    assert all(torch.equal(own[key], library[key]) for key in library if key in own and key != "conv1.weight")
    converted = CAFFE.convert_convolution(library["conv1.weight"], IMAGENET)
    assert torch.equal(own["conv1.weight"], converted)
    urls = []
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda url, *_, **__: urls.append(url) or library
    )
    load_imagenet_weights(network)
    assert urls[0].rsplit("/", 1)[-1].startswith("resnet50-")
    assert torch.equal(network.backbone.conv1.weight, converted)


def test_another_networks_file_is_refused(library_file: Path):
    with pytest.raises(UserError, match=r"resnet18.pth: .* of mobilenet_v2 are absent or of another shape"):
        load_imagenet_weights(create_network("mobilenet_v2"), library_file)


@pytest.mark.parametrize(("name", "deeper"), [("resnet18", "resnet34"), ("resnet50", "resnet101")])
def test_a_deeper_networks_file_is_refused(name: str, deeper: str, tmp_path: Path):
    """It has every entry of the shallower one, and more blocks."""
    state = torchvision.models.get_model(deeper, weights=None).state_dict()
    torch.save(state, tmp_path / "deeper.pth")
    first = "layer1.2.conv1.weight" if name == "resnet18" else "layer3.6.conv1.weight"
    with pytest.raises(
        UserError, match=rf"deeper.pth: \d+ of its entries are not of {name} \(first: {first}"
    ):
        load_imagenet_weights(create_network(name), tmp_path / "deeper.pth")


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
def test_wrapped_files_are_unwrapped(library_file: Path, prefix: str, wrapper: str):
    source = torch.load(library_file, weights_only=True)
    wrapped = {prefix + key: value for key, value in source.items()}
    torch.save({wrapper: wrapped, "epoch": 90} if wrapper else wrapped, library_file)
    network = create_network("resnet18")
    load_imagenet_weights(network, library_file)
    assert torch.equal(network.backbone.layer4[1].conv2.weight, source["layer4.1.conv2.weight"])


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Not Found</html>", b"PK\x03\x04 cut off"])
def test_a_cached_file_that_is_not_what_its_name_says_is_told_from_an_absent_one(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    place.parent.mkdir()
    place.write_bytes(content)
    with pytest.raises(UserError, match=rf"{place}: is damaged, or another file; delete it"):
        load_imagenet_weights(create_network("resnet18"))


def test_a_whole_file_of_another_network_in_the_cache_is_refused(
    library_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    place.parent.mkdir()
    library_file.rename(place)
    with pytest.raises(UserError, match="delete it"):
        load_imagenet_weights(create_network("resnet18"))


def test_a_missing_entry_is_refused(library_file: Path):
    source = torch.load(library_file, weights_only=True)
    del source["layer3.1.conv1.weight"]
    torch.save(source, library_file)
    with pytest.raises(UserError, match="layer3.1.conv1.weight"):
        load_imagenet_weights(create_network("resnet18"), library_file)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_weights_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="--backbone_weights .*weights.pth"):
        load_imagenet_weights(create_network("resnet18"), path)
    with pytest.raises(UserError, match="no such file"):
        load_imagenet_weights(create_network("resnet18"), tmp_path / "absent.pth")


def test_without_a_connection_the_message_names_the_file_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_connection(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_connection)
    with pytest.raises(UserError) as error:
        load_imagenet_weights(create_network("resnet18"))
    place = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    assert f"put resnet18-f37072fd.pth at {place}" in str(error.value)
    assert "--backbone_weights FILE" in str(error.value)
    assert "--no_pretrained" in str(error.value)


def test_the_three_convolution_stem_has_no_download():
    with torch.device("meta"):
        network = create_network("resnet101_3x3stem")
    with pytest.raises(UserError, match="resnet101-imagenet.pth"):
        load_imagenet_weights(network)
