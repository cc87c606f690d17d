from network.cost import network_cost


def test_parameters_are_the_published_number_and_cost_grows_with_the_area() -> None:
    parameters, small = network_cost({"backbone": "resnet50"}, 128, 128)
    assert parameters == 45_081_542
    _, large = network_cost({"backbone": "resnet50"}, 256, 256)
    assert 3.9 < large / small < 4.1


def test_parameters_of_the_aggregation_head_are_the_published_number() -> None:
    config = {"backbone": "resnet50", "head": "aggregation", "wt_layer": (0, 0, 2, 2, 2, 0, 0)}
    assert network_cost(config, 128, 128)[0] == 51_724_672


def test_every_kind_of_site_can_be_counted() -> None:
    for code in (1, 4, 5):
        config = {"backbone": "resnet18", "wt_layer": (0, 0, code, code, 0, 0, 0), "output_stride": 32}
        assert network_cost(config, 64, 64)[1] > 0
