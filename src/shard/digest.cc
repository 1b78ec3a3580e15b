#include "shard/digest.h"

#include <memory>

#include <openssl/evp.h>
#include <xxhash.h>

namespace vitrail::shard {

Status append_md5(std::string_view data, std::string& out) {
  // Fetching an algorithm takes longer than hashing a short value, and so does making a context.
  static const EVP_MD* const md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                                     &EVP_MD_CTX_free);
  const size_t at = out.size();
  out.resize(at + 16);
  unsigned length = 0;
  if (md5 == nullptr || !context || EVP_DigestInit_ex2(context.get(), md5, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), data.data(), data.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(out.data() + at), &length) != 1) {
    out.resize(at);
    return fail(Code::kInternal, "the crypto library does not offer MD5, which vindex type binary_md5 needs");
  }
  return {};
}

void append_xxhash64(std::string_view data, std::string& out) {
  uint64_t hash = XXH64(data.data(), data.size(), 0);
  for (int i = 0; i < 8; ++i, hash >>= 8) out += static_cast<char>(hash & 0xff);
}

}  // namespace vitrail::shard
