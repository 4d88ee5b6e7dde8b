"""What is worked out once stays, for each instance by itself."""

from dataclasses import dataclass, replace

from smallmodel_operator.placement.once import Once


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Something that counts how often it is asked."""

    of: tuple[int, ...]
    asked: list[str]

    @Once
    def total(self) -> int:
        """All of them."""
        self.asked.append("total")
        return sum(self.of)


def test_it_is_worked_out_once_for_each_instance_and_never_before_it_is_asked() -> None:
    asked: list[str] = []
    one = Sum(of=(1, 2), asked=asked)
    other = replace(one, of=(5,))
    assert asked == []

    assert [one.total, one.total, other.total] == [3, 3, 5]
    assert asked == ["total", "total"]
    assert one == Sum(of=(1, 2), asked=asked)


def test_a_class_tells_what_it_is_for() -> None:
    assert Sum.total.__doc__ == "All of them."
