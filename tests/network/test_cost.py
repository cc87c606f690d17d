from network.cost import network_cost


def test_parameters_are_the_published_number_and_cost_grows_with_the_area() -> None:
    parameters, small = network_cost({"backbone": "resnet50"}, 128, 128)
    assert parameters == 45_081_542
    _, large = network_cost({"backbone": "resnet50"}, 256, 256)
    assert 3.9 < large / small < 4.1
