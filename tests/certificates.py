"""Certificates for the TLS tests, made with openssl on the spot: none is ever kept in the repository."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate, its key, and both in one file as Kafka's PEM key store wants them."""

    cert: Path
    key: Path
    both: Path


def make_authority(directory: Path, name: str) -> Certificate:
    """A self-signed authority, valid for one day."""
    key, cert = directory / f"{name}.key", directory / f"{name}.crt"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
        *("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", key, "-out", cert),
    )
    return _joined(directory, name, cert, key)


def issue(directory: Path, name: str, authority: Certificate, *names: str) -> Certificate:
    """A certificate signed by `authority` for `names`, each `DNS:…` or `IP:…`; valid for one day."""
    key, cert, request, extensions = (directory / f"{name}.{end}" for end in ("key", "crt", "csr", "ext"))
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
    )
    extensions.write_text(f"subjectAltName={','.join(names)}\n" if names else "basicConstraints=CA:FALSE\n")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", authority.cert, "-CAkey", authority.key, "-CAcreateserial"),
        *("-days", "1", "-extfile", extensions, "-out", cert),
    )
    return _joined(directory, name, cert, key)


def encrypt_key(certificate: Certificate, password: str) -> Path:
    """The certificate's key under a password."""
    out = certificate.key.with_suffix(".encrypted")
    _openssl("pkcs8", "-topk8", "-in", certificate.key, "-out", out, "-passout", f"pass:{password}")
    return out


def _joined(directory: Path, name: str, cert: Path, key: Path) -> Certificate:
    both = directory / f"{name}.pem"
    both.write_text(key.read_text() + cert.read_text())
    return Certificate(cert, key, both)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL)
