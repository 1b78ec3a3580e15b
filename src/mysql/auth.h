#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"

// Password arithmetic of MySQL's authentication plugins.
// Sources: MySQL 8 internals documentation, "Native Authentication", "Caching_sha2_password information"; for the
// stored form "$A$": U. Drepper, "Unix crypt using SHA-256 and SHA-512" (public domain), with MySQL's 20-byte salt.
namespace vitrail::mysql {

// A nonce of kNonceSize bytes in 1..127 without '$', as servers send it.
std::string make_nonce(base::Random& random);

// mysql_native_password. The stored hash is SHA1(SHA1(password)), 20 bytes.
std::string native_hash(std::string_view password);
// What the client sends: SHA1(password) XOR SHA1(nonce + SHA1(SHA1(password))); "" for an empty password.
std::string native_scramble(std::string_view password, std::string_view nonce);
bool check_native(std::string_view scramble, std::string_view nonce, std::string_view hash);

// caching_sha2_password, fast path. The cached hash is SHA256(SHA256(password)), 32 bytes.
std::string sha2_hash(std::string_view password);
// SHA256(password) XOR SHA256(SHA256(SHA256(password)) + nonce); "" for an empty password.
std::string sha2_scramble(std::string_view password, std::string_view nonce);
bool check_sha2(std::string_view scramble, std::string_view nonce, std::string_view hash);

// caching_sha2_password, stored form in mysql.user: "$A$" + three hex digits (rounds / 1000) + "$" + 20 bytes of salt +
// 43 characters. Only a clear password can be checked against it.
bool check_sha2_stored(std::string_view password, std::string_view stored);
std::string make_sha2_stored(std::string_view password, std::string_view salt, unsigned thousand_rounds = 5);
// The 43 characters for any salt; rounds in 1000..999999999.
std::string sha256_crypt_digest(std::string_view password, std::string_view salt, unsigned rounds);

// The password (with its trailing 0 byte) XORed with the repeated nonce: what is encrypted for the full path.
std::string xor_with_nonce(std::string_view password, std::string_view nonce);
// Client: encrypts with a PEM public key, RSA OAEP padding. kInvalidArgument for a key that is none.
Result<std::string> rsa_encrypt(std::string_view plain, std::string_view public_key_pem);

// The server's key pair for the full path over an unencrypted connection.
//   Threads: immutable after generate(); decrypt() may be called from any thread.
class RsaKeyPair {
 public:
  // 2048 bits; takes tens to hundreds of milliseconds.
  static Result<std::shared_ptr<const RsaKeyPair>> generate();
  virtual ~RsaKeyPair() = default;
  virtual const std::string& public_key_pem() const = 0;
  virtual Result<std::string> decrypt(std::string_view cipher) const = 0;
};

// Compares without leaking through time where the first difference stands.
bool equal_constant_time(std::string_view a, std::string_view b);

// What a server knows about one way for a user to log in.
struct Credentials {
  bool any_password = false;                  // Mode "none": every response is right.
  std::optional<std::string> clear_password;  // Serves all plugins. "" allows only the empty password.
  std::optional<std::string> native;          // native_hash()
  std::optional<std::string> sha2;            // sha2_hash()
  std::optional<std::string> sha2_stored;     // "$A$..."
  std::string user_data;                      // Caller id for access checks; the user name if empty.
  std::vector<std::string> groups;
};

struct Peer {
  std::string host;  // As printed in error 1045: host name or address, "localhost" for a unix socket.
  bool is_unix_socket = false;
};

// Answers who may log in. Implementations are safe to use from any thread and do no I/O.
class AuthProvider {
 public:
  virtual ~AuthProvider() = default;
  // Entries of `user` usable from `peer`, in order; any that fits lets the client in. Empty: no such user.
  virtual std::vector<Credentials> find_user(std::string_view user, const Peer& peer) const = 0;
};

// Mode "none": any user, any password. Lives as long as the process.
const AuthProvider& allow_everyone();

}  // namespace vitrail::mysql
