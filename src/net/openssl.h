#pragma once

// What the .cc files of this folder that use OpenSSL share. Headers do not include it.
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vitrail::net::internal {

template <auto Free>
struct OpensslDeleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, OpensslDeleter<BIO_free>>;
using Certificate = std::unique_ptr<X509, OpensslDeleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, OpensslDeleter<EVP_PKEY_free>>;
using RevocationList = std::unique_ptr<X509_CRL, OpensslDeleter<X509_CRL_free>>;
using TrustedStore = std::unique_ptr<X509_STORE, OpensslDeleter<X509_STORE_free>>;

// Those in a text, in order; what is no certificate is left out.
std::vector<Certificate> certificates_of(std::string_view pem);
// Null when there is none.
Key key_of(std::string_view pem);
// Errors as load_key_pair() has them. `crl_file` may be empty; with it a certificate without a list is refused.
Result<TrustedStore> load_authorities(const std::string& ca_file, const std::string& crl_file);

}  // namespace vitrail::net::internal
