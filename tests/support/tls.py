"""A certificate for servers on the loopback, which nobody trusts unless told to.

Made by ``openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500
-subj /CN=loopback -addext subjectAltName=IP:127.0.0.1,DNS:localhost``.
"""

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmDCCAT+gAwIBAgIUPA0qQTqQ5GMdCCkBUBX3I34jjcAwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIbG9vcGJhY2swIBcNMjYxMTMwMDQxMDQxWhgPMjEyNjExMDYw
NDEwNDFaMBMxETAPBgNVBAMMCGxvb3BiYWNrMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEQ2IiOOZ3DGFKxZ/Pkbyz5gok/hzGbAwYk1obhbgLjjEaTNLLMVAMytcH
WObyf9elQKc0q4eWPRj+8fSl4wvvOqNvMG0wHQYDVR0OBBYEFCMCHb6F0WQ4CFpq
2uAW/Gfhcso1MB8GA1UdIwQYMBaAFCMCHb6F0WQ4CFpq2uAW/Gfhcso1MBoGA1Ud
EQQTMBGHBH8AAAGCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49
BAMCA0cAMEQCICHlcGDlOMvbwa9EU8V2sPZp/ObrgqCWu4cCFMawes8WAiBRUcxr
961MUMM0VdmgfcwxsjG2r2BNSJ5LDkxz935fEg==
-----END CERTIFICATE-----
"""

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgDpGHrBI4Jc6WcrBV
Sq8gT490aHF0xpua+zgyycx7cXuhRANCAARDYiI45ncMYUrFn8+RvLPmCiT+HMZs
DBiTWhuFuAuOMRpM0ssxUAzK1wdY5vJ/16VApzSrh5Y9GP7x9KXjC+86
-----END PRIVATE KEY-----
"""

HASH = "2101a20a"
"""Hash of the certificate's subject: ``openssl x509 -hash``."""
