#include "net/certificates.h"

#include <fmt/core.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <vector>

#include "base/file.h"
#include "net/openssl.h"

namespace vitrail::net {
namespace {

using internal::Bio;
using internal::Certificate;
using internal::certificates_of;
using internal::RevocationList;
using internal::TrustedStore;

Bio reader(std::string_view pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

// Keys in files that ask for a pass phrase cannot be used by a server that starts by itself.
int no_pass_phrase(char*, int, int, void*) { return 0; }

std::string subject_of(const X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<size_t>(size)};
}

Result<std::string> load_certificates(const std::string& file) {
  ASSIGN_OR_RETURN(std::string pem, base::read_file(file));
  if (certificates_of(pem).empty()) return fail(Code::kInvalidArgument, file + " has no certificate in PEM form");
  if (!pem.ends_with('\n')) pem.push_back('\n');
  return pem;
}

}  // namespace

namespace internal {

std::vector<Certificate> certificates_of(std::string_view pem) {
  std::vector<Certificate> out;
  const Bio bio = reader(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, no_pass_phrase, nullptr)) {
    out.emplace_back(certificate);
  }
  ERR_clear_error();  // The end of the text is an error to the library.
  return out;
}

Key key_of(std::string_view pem) {
  Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_pass_phrase, nullptr));
  ERR_clear_error();
  return key;
}

Result<TrustedStore> load_authorities(const std::string& ca_file, const std::string& crl_file) {
  TrustedStore trusted(X509_STORE_new());
  ASSIGN_OR_RETURN(const std::string authorities, load_certificates(ca_file));
  for (const Certificate& authority : certificates_of(authorities)) X509_STORE_add_cert(trusted.get(), authority.get());
  if (crl_file.empty()) return trusted;
  ASSIGN_OR_RETURN(const std::string revoked, base::read_file(crl_file));
  const Bio bio = reader(revoked);
  int lists = 0;
  while (X509_CRL* list = PEM_read_bio_X509_CRL(bio.get(), nullptr, no_pass_phrase, nullptr)) {
    const RevocationList owned(list);
    X509_STORE_add_crl(trusted.get(), list);
    ++lists;
  }
  ERR_clear_error();
  if (lists == 0) return fail(Code::kInvalidArgument, crl_file + " has no revocation list in PEM form");
  X509_STORE_set_flags(trusted.get(), X509_V_FLAG_CRL_CHECK);
  return trusted;
}

}  // namespace internal

Result<KeyPair> load_key_pair(const TlsOptions& options) {
  if (options.certificate_file.empty() || options.key_file.empty()) {
    return fail(Code::kInvalidArgument, "a certificate and its key must be given together");
  }
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.chain, load_certificates(options.certificate_file));
  ASSIGN_OR_RETURN(pair.key, base::read_file(options.key_file));
  const internal::Key key = internal::key_of(pair.key);
  const bool fits = key != nullptr && X509_check_private_key(certificates_of(pair.chain).front().get(), key.get()) == 1;
  ERR_clear_error();
  if (key == nullptr) return fail(Code::kInvalidArgument, options.key_file + " has no private key in PEM form");
  if (!fits) {
    return fail(Code::kInvalidArgument, fmt::format("the key in {} is not that of the certificate in {}",
                                                    options.key_file, options.certificate_file));
  }
  if (!options.chain_file.empty()) {
    ASSIGN_OR_RETURN(const std::string rest, load_certificates(options.chain_file));
    pair.chain += rest;
  }
  return pair;
}

struct ClientCertificates::Store {
  internal::TrustedStore trusted;
};

ClientCertificates::ClientCertificates() : store_(std::make_unique<Store>()) {}
ClientCertificates::~ClientCertificates() = default;

Result<std::unique_ptr<ClientCertificates>> ClientCertificates::load(const std::string& ca_file,
                                                                     const std::string& crl_file) {
  std::unique_ptr<ClientCertificates> out(new ClientCertificates);
  ASSIGN_OR_RETURN(out->store_->trusted, internal::load_authorities(ca_file, crl_file));
  X509_STORE_set_purpose(out->store_->trusted.get(), X509_PURPOSE_SSL_CLIENT);
  return out;
}

Result<std::string> ClientCertificates::check(std::string_view pem_chain) const {
  const std::vector<Certificate> sent = certificates_of(pem_chain);
  if (sent.empty()) {
    return fail(Code::kUnauthenticated, "this server lets in only clients with a certificate, and none was sent");
  }
  std::string subject = subject_of(sent.front().get());
  const std::unique_ptr<STACK_OF(X509), internal::OpensslDeleter<[](STACK_OF(X509) * s) { sk_X509_free(s); }>> others(
      sk_X509_new_null());
  for (size_t i = 1; i < sent.size(); ++i) sk_X509_push(others.get(), sent[i].get());
  const std::unique_ptr<X509_STORE_CTX, internal::OpensslDeleter<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store_->trusted.get(), sent.front().get(), others.get()) != 1) {
    return fail(Code::kInternal, "the client's certificate could not be checked");
  }
  const bool good = X509_verify_cert(context.get()) == 1;
  const int reason = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (good) return subject;
  return fail(Code::kUnauthenticated, fmt::format("the client certificate of {} is refused: {}", subject,
                                                  X509_verify_cert_error_string(reason)));
}

}  // namespace vitrail::net
