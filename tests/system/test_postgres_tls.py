"""TLS between the postgres operator and a server with a certificate: whom it believes, and by what it is believed."""

import os
import shutil
import subprocess

import pytest

import pg

pytestmark = pytest.mark.slow

QUERY = {"sql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"}


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.crt")


def certificate(folder, signer, name, subject, address=None):
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out",
            f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{address}\n" if address else "")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.crt", "-CAkey", f"{signer}.key", "-days", "2",
            "-CAcreateserial", "-out", f"{name}.crt", "-extfile", f"{name}.ext")
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    folder = tmp_path_factory.mktemp("keys")
    authority(folder, "ca")
    authority(folder, "other")
    certificate(folder, "ca", "server", "server", "127.0.0.1")
    certificate(folder, "ca", "client", pg.LOGIN)
    return folder


@pytest.fixture(scope="module")
def secure(keys):
    """A server that takes TLS alone, and wants its clients' certificates."""
    if pg.programs() is None:
        pytest.skip("PostgreSQL's server is not installed (package postgresql)")

    def prepare(server):
        for name in ("ca.crt", "server.crt", "server.key"):
            shutil.copy(keys / name, server.data / name)
            (server.data / name).chmod(0o600)
            if server.owner:
                os.chown(server.data / name, server.owner["user"], server.owner["group"])

    own = pg.Server(prepare, "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca", ssl="on",
                    ssl_ca_file="'ca.crt'", ssl_cert_file="'server.crt'", ssl_key_file="'server.key'")
    yield own
    own.close()


def extra(keys, mode="verify-full", root="ca", client="client"):
    files = {"sslmode": mode, "sslrootcert": str(keys / f"{root}.crt")}
    if client:
        files |= {"sslcert": str(keys / f"{client}.crt"), "sslkey": str(keys / f"{client}.key")}
    return {"extra": files}


def test_certificates_of_both_sides_are_checked(secure, keys):
    assert pg.succeed(secure, QUERY, connection=extra(keys)).outputs["value"] is True
    ended = pg.fail(secure, QUERY, connection=extra(keys, root="other"))
    assert "certificate verify failed" in ended.error
    ended = pg.fail(secure, QUERY, connection={"host": "localhost", **extra(keys)})
    assert 'server certificate for "127.0.0.1"' in ended.error and '"localhost"' in ended.error
    ended = pg.fail(secure, QUERY, connection=extra(keys, client=None))
    assert "certificate" in ended.error
    ended = pg.fail(secure, QUERY, connection={"extra": {"sslmode": "disable"}})
    assert "28000" in ended.error and ended.retry is False
    ended = pg.fail(secure, QUERY, connection=extra(keys, root="not_there"))
    assert "not_there.crt" in ended.error


def test_a_file_goes_through_tls_whole(secure, keys, tmp_path):
    line = "x" * 990
    (tmp_path / "big.csv").write_text("".join(f"{number},{line}\n" for number in range(20_000)))
    copy = {"file": "big.csv", "table": "big", "header": False}
    pg.succeed(secure, {"sql": "CREATE TABLE big (id int, text text)", "copy_from": copy, "copy_to": {**copy, "file": "back.csv"}},
               connection=extra(keys), folder=tmp_path)
    assert (tmp_path / "big.csv").read_bytes() == (tmp_path / "back.csv").read_bytes()
