#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/certificates.h"
#include "net/loop.h"

namespace vitrail::base {
class Settings;
}

namespace vitrail::control {

// How vtctld reads pages of other programs, where their HTTP ports speak TLS.
struct HttpClientOptions {
  net::TlsOptions tls;  // Without a ca_file only plain text is spoken.
};
void declare(base::Settings& settings, HttpClientOptions& options);
// For http_get() of the whole process; before the first one. kInvalidArgument, kNotFound: files that cannot be used.
Status set_http_client(const HttpClientOptions& options);
bool http_client_has_tls();

// The body of GET `path`, of at most 8 MiB. With `tls`: over TLS, from a server of the authority that
// set_http_client() was given.
//   kUnavailable: no answer, or one that is not 200. kResourceExhausted: longer. kFailedPrecondition: there is no
//   authority.
net::Task<Result<std::string>> http_get(std::string host, uint16_t port, bool tls, std::string path, net::Wait wait);

}  // namespace vitrail::control
