#include "mysql/auth.h"

#include <fmt/core.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "mysql/handshake.h"

namespace vitrail::mysql {
namespace {

constexpr size_t kSha1Size = 20;
constexpr size_t kSha256Size = 32;
// MySQL's bound on passwords of caching_sha2_password. The stored form costs time in the square of the length.
constexpr size_t kMaxSha2Password = 256;
constexpr size_t kStoredSaltSize = 20;
constexpr size_t kStoredDigestSize = 43;

std::string digest(const EVP_MD* algorithm, std::initializer_list<std::string_view> parts) {
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  CHECK(context != nullptr && EVP_DigestInit_ex(context, algorithm, nullptr) == 1);
  for (const std::string_view part : parts) CHECK(EVP_DigestUpdate(context, part.data(), part.size()) == 1);
  std::string out(static_cast<size_t>(EVP_MD_get_size(algorithm)), '\0');
  CHECK(EVP_DigestFinal_ex(context, reinterpret_cast<unsigned char*>(out.data()), nullptr) == 1);
  EVP_MD_CTX_free(context);
  return out;
}

std::string sha1(std::initializer_list<std::string_view> parts) { return digest(EVP_sha1(), parts); }
std::string sha256(std::initializer_list<std::string_view> parts) { return digest(EVP_sha256(), parts); }

std::string xored(std::string_view a, std::string_view b) {
  std::string out(a);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(out[i] ^ b[i]);
  return out;
}

// `text` repeated and cut to `size` bytes.
std::string stretched(std::string_view text, size_t size) {
  std::string out;
  out.reserve(size);
  while (out.size() < size) out.append(text.substr(0, std::min(text.size(), size - out.size())));
  return out;
}

struct PkeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct PkeyContextDeleter {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Pkey = std::unique_ptr<EVP_PKEY, PkeyDeleter>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, PkeyContextDeleter>;
using Bio = std::unique_ptr<BIO, BioDeleter>;

class OpensslKeyPair : public RsaKeyPair {
 public:
  OpensslKeyPair(Pkey key, std::string pem) : key_(std::move(key)), pem_(std::move(pem)) {}

  const std::string& public_key_pem() const override { return pem_; }

  Result<std::string> decrypt(std::string_view cipher) const override {
    const PkeyContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
    const auto* in = reinterpret_cast<const unsigned char*>(cipher.data());
    size_t size = 0;
    if (context == nullptr || EVP_PKEY_decrypt_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_decrypt(context.get(), nullptr, &size, in, cipher.size()) != 1) {
      return fail(Code::kInvalidArgument, "cannot decrypt the password");
    }
    std::string plain(size, '\0');
    if (EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(plain.data()), &size, in, cipher.size()) !=
        1) {
      return fail(Code::kInvalidArgument, "cannot decrypt the password");
    }
    plain.resize(size);
    return plain;
  }

 private:
  Pkey key_;
  std::string pem_;
};

class Everyone : public AuthProvider {
 public:
  std::vector<Credentials> find_user(std::string_view, const Peer&) const override {
    Credentials credentials;
    credentials.any_password = true;
    return {credentials};
  }
};

}  // namespace

std::string make_nonce(base::Random& random) {
  std::string nonce(kNonceSize, '\0');
  random.fill({reinterpret_cast<uint8_t*>(nonce.data()), nonce.size()});
  for (char& c : nonce) {
    c = static_cast<char>(c & 0x7f);
    if (c == '\0' || c == '$') c = static_cast<char>(c + 1);
  }
  return nonce;
}

std::string native_hash(std::string_view password) { return sha1({sha1({password})}); }

std::string native_scramble(std::string_view password, std::string_view nonce) {
  if (password.empty()) return {};
  const std::string stage1 = sha1({password});
  return xored(stage1, sha1({nonce, sha1({stage1})}));
}

bool check_native(std::string_view scramble, std::string_view nonce, std::string_view hash) {
  if (scramble.size() != kSha1Size || hash.size() != kSha1Size) return false;
  return equal_constant_time(sha1({xored(scramble, sha1({nonce, hash}))}), hash);
}

std::string sha2_hash(std::string_view password) { return sha256({sha256({password})}); }

std::string sha2_scramble(std::string_view password, std::string_view nonce) {
  if (password.empty()) return {};
  const std::string stage1 = sha256({password});
  return xored(stage1, sha256({sha256({stage1}), nonce}));
}

bool check_sha2(std::string_view scramble, std::string_view nonce, std::string_view hash) {
  if (scramble.size() != kSha256Size || hash.size() != kSha256Size) return false;
  return equal_constant_time(sha256({xored(scramble, sha256({hash, nonce}))}), hash);
}

std::string sha256_crypt_digest(std::string_view password, std::string_view salt, unsigned rounds) {
  const std::string b = sha256({password, salt, password});
  std::string bits;  // One copy of B or of the password for each bit of the length, the lowest first.
  for (size_t n = password.size(); n > 0; n >>= 1) bits.append((n & 1) != 0 ? std::string_view(b) : password);
  const std::string a = sha256({password, salt, stretched(b, password.size()), bits});

  std::string repeated;
  for (size_t i = 0; i < password.size(); ++i) repeated.append(password);
  const std::string p = stretched(sha256({repeated}), password.size());
  repeated.clear();
  for (size_t i = 0; i < size_t{16} + static_cast<uint8_t>(a[0]); ++i) repeated.append(salt);
  const std::string s = stretched(sha256({repeated}), salt.size());

  std::string c = a;
  for (unsigned i = 0; i < rounds; ++i) {
    const bool odd = (i & 1) != 0;
    c = sha256({odd ? std::string_view(p) : c, i % 3 != 0 ? std::string_view(s) : std::string_view(),
                i % 7 != 0 ? std::string_view(p) : std::string_view(), odd ? std::string_view(c) : p});
  }

  static constexpr char kAlphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string out;
  const auto put = [&out](unsigned word, int characters) {
    for (; characters > 0; --characters, word >>= 6) out.push_back(kAlphabet[word & 63]);
  };
  const auto byte = [&c](size_t i) { return static_cast<unsigned>(static_cast<uint8_t>(c[i])); };
  // Triples (0,10,20), (21,1,11), (12,22,2) ...: each step moves every index on by 21 of 30.
  for (size_t i = 0; i < 10; ++i) {
    const size_t high = i * 21 % 30;
    put(byte(high) << 16 | byte((high + 10) % 30) << 8 | byte((high + 20) % 30), 4);
  }
  put(byte(31) << 8 | byte(30), 3);
  return out;
}

bool check_sha2_stored(std::string_view password, std::string_view stored) {
  if (password.size() > kMaxSha2Password || stored.size() != 7 + kStoredSaltSize + kStoredDigestSize) return false;
  if (!stored.starts_with("$A$") || stored[6] != '$') return false;
  unsigned thousands = 0;
  const auto [end, error] = std::from_chars(stored.data() + 3, stored.data() + 6, thousands, 16);
  if (error != std::errc() || end != stored.data() + 6 || thousands == 0) return false;
  return equal_constant_time(sha256_crypt_digest(password, stored.substr(7, kStoredSaltSize), thousands * 1000),
                             stored.substr(7 + kStoredSaltSize));
}

std::string make_sha2_stored(std::string_view password, std::string_view salt, unsigned thousand_rounds) {
  std::string salt20(salt);
  salt20.resize(kStoredSaltSize, '.');
  return fmt::format("$A${:03X}${}{}", thousand_rounds, salt20,
                     sha256_crypt_digest(password, salt20, thousand_rounds * 1000));
}

std::string xor_with_nonce(std::string_view password, std::string_view nonce) {
  std::string out(password);
  if (nonce.empty()) return out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(out[i] ^ nonce[i % nonce.size()]);
  return out;
}

Result<std::string> rsa_encrypt(std::string_view plain, std::string_view public_key_pem) {
  const Bio bio(BIO_new_mem_buf(public_key_pem.data(), static_cast<int>(public_key_pem.size())));
  const Pkey key(bio == nullptr ? nullptr : PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) {
    return fail(Code::kInvalidArgument, "the server's public key is not an RSA key in PEM form");
  }
  const PkeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
  const auto* in = reinterpret_cast<const unsigned char*>(plain.data());
  size_t size = 0;
  if (context == nullptr || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_encrypt(context.get(), nullptr, &size, in, plain.size()) != 1) {
    return fail(Code::kInvalidArgument, "cannot encrypt the password with the server's public key");
  }
  std::string cipher(size, '\0');
  if (EVP_PKEY_encrypt(context.get(), reinterpret_cast<unsigned char*>(cipher.data()), &size, in, plain.size()) != 1) {
    return fail(Code::kInvalidArgument, "the password is too long for the server's public key");
  }
  cipher.resize(size);
  return cipher;
}

Result<std::shared_ptr<const RsaKeyPair>> RsaKeyPair::generate() {
  Pkey key(EVP_RSA_gen(2048));
  const Bio bio(BIO_new(BIO_s_mem()));
  if (key == nullptr || bio == nullptr || PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) {
    return fail(Code::kInternal, "cannot generate an RSA key pair");
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  std::string pem(text, static_cast<size_t>(size));
  return std::make_shared<const OpensslKeyPair>(std::move(key), std::move(pem));
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

const AuthProvider& allow_everyone() {
  static const Everyone everyone;
  return everyone;
}

}  // namespace vitrail::mysql
