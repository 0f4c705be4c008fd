from earthshine.control.devices.tokens import ACCESS_LIFE, MAX_PER_RUNNER, SESSION_LIFE, TokenBook


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_token_is_of_one_kind_and_one_runner():
    book = TokenBook()
    token = book.issue("session", "one", 1)
    assert book.find("session", "one", token) is not None
    assert book.find("access", "one", token) is None
    assert book.find("session", "two", token) is None
    assert book.find("session", "one", token + "x") is None
    assert book.find("session", "one", "\ud800") is None
    assert token.encode() not in repr(book._issued).encode()


def test_tokens_run_out():
    clock = Clock()
    book = TokenBook(clock)
    session, access = book.issue("session", "one", 1), book.issue("access", "one", 1)
    clock.now = SESSION_LIFE
    assert book.find("session", "one", session) is None
    assert book.find("access", "one", access) is not None
    clock.now = ACCESS_LIFE
    assert book.find("access", "one", access) is None
    book.issue("session", "one", 2)
    assert len(book._issued) == 1, "what has run out is forgotten"


def test_dropping_a_runner_ends_all_of_its_tokens_only():
    book = TokenBook()
    mine, other = book.issue("session", "one", 1), book.issue("session", "two", 1)
    book.drop("one")
    book.drop("one")
    assert book.find("session", "one", mine) is None
    assert book.find("session", "two", other) is not None


def test_a_runner_has_so_many():
    book = TokenBook()
    tokens = [book.issue("session", "one", 1) for _ in range(MAX_PER_RUNNER + 1)]
    assert book.find("session", "one", tokens[0]) is None
    assert book.find("session", "one", tokens[-1]) is not None
    assert len(book._issued) == MAX_PER_RUNNER
