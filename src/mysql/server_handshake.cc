#include "mysql/server_handshake.h"

#include <fmt/core.h>

#include <algorithm>

#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/packet.h"

namespace vitrail::mysql {
namespace {

// Bytes behind AuthMoreData's 0x01, and the client's request, of caching_sha2_password.
constexpr std::string_view kFastAuthSucceeded = "\x03";
constexpr std::string_view kFullAuthNeeded = "\x04";
constexpr std::string_view kPublicKeyRequest = "\x02";

std::string_view without_terminator(std::string_view text) {
  if (text.ends_with('\0')) text.remove_suffix(1);
  return text;
}

bool accepts_clear(const Credentials& entry, std::string_view password) {
  if (entry.any_password) return true;
  if (entry.clear_password) return equal_constant_time(*entry.clear_password, password);
  if (password.empty()) return false;
  if (entry.native && equal_constant_time(*entry.native, native_hash(password))) return true;
  if (entry.sha2 && equal_constant_time(*entry.sha2, sha2_hash(password))) return true;
  return entry.sha2_stored && check_sha2_stored(password, *entry.sha2_stored);
}

}  // namespace

ServerHandshake::ServerHandshake(const ServerAuthSettings& settings, uint32_t connection_id, Peer peer,
                                 base::Random& random)
    : settings_(settings), connection_id_(connection_id), peer_(std::move(peer)), random_(random) {}

void ServerHandshake::send(std::string& out, std::string_view payload) {
  PacketWriter writer(out, sequence_);
  writer.message(payload);
  sequence_ = writer.sequence();
}

void ServerHandshake::start(std::string& out) {
  nonce_ = make_nonce(random_);
  HandshakeV10 greeting;
  greeting.server_version = settings_.server_version;
  greeting.connection_id = connection_id_;
  greeting.nonce = nonce_;
  greeting.capabilities = settings_.capabilities & (kSupportedCapabilities | kVitrailCallers) & ~kClientSsl;
  if (settings_.tls_available) greeting.capabilities |= kClientSsl;
  greeting.collation = settings_.collation;
  greeting.auth_plugin = settings_.auth_plugin;
  std::string payload;
  encode_handshake_v10(payload, greeting);
  sequence_ = 0;
  send(out, payload);
  step_ = Step::kResponse;
}

ServerHandshake::Next ServerHandshake::on_message(uint8_t sequence, std::string_view payload, std::string& out) {
  const bool in_order = sequence == sequence_;
  sequence_ = static_cast<uint8_t>(sequence + 1);
  if (!in_order) return fail_with(out, errnos::kPacketsOutOfOrder, "08S01", "Got packets out of order");
  switch (step_) {
    case Step::kResponse: return on_response(payload, out);
    case Step::kSwitched: return check(payload, out);
    case Step::kSha2KeyOrPassword:
    case Step::kSha2Encrypted: return on_sha2_full(payload, out);
    case Step::kGreeting:
    case Step::kFinished: break;
  }
  return fail_with(out, errnos::kBadHandshake, "08S01", "Bad handshake");
}

ServerHandshake::Next ServerHandshake::on_response(std::string_view payload, std::string& out) {
  if (is_ssl_request(payload)) {
    if (!settings_.tls_available || secure_) return fail_with(out, errnos::kBadHandshake, "08S01", "Bad handshake");
    return Next::kStartTls;
  }
  Result<HandshakeResponse> response = decode_handshake_response(payload);
  if (!response.ok()) return fail_with(out, errnos::kBadHandshake, "08S01", "Bad handshake");
  if (settings_.require_secure_transport && !secure()) {
    return fail_with(out, errnos::kSecureTransportRequired, "HY000",
                     "Connections using insecure transport are prohibited while --require_secure_transport=ON.");
  }
  client_.user = std::move(response->user);
  client_.database = std::move(response->database);
  client_.capabilities =
      response->capabilities & settings_.capabilities & (kSupportedCapabilities | kVitrailCallers) & ~kClientSsl;
  if (secure_) client_.capabilities |= kClientSsl;
  client_.max_packet_size = response->max_packet_size;
  client_.collation = response->collation;
  client_.attributes = std::move(response->attributes);
  entries_ = settings_.provider->find_user(client_.user, peer_);
  std::string plugin = (client_.capabilities & kClientPluginAuth) != 0 && !response->auth_plugin.empty()
                           ? std::move(response->auth_plugin)
                           : std::string(kNativePasswordPlugin);
  return negotiate(std::move(plugin), std::move(response->auth_response), out);
}

// The client has answered the greeting's nonce with a plugin of its own choice. If that cannot prove anything for this
// user, it is asked for another one.
ServerHandshake::Next ServerHandshake::negotiate(std::string client_plugin, std::string auth_response,
                                                 std::string& out) {
  if (plugin_usable(client_plugin)) {
    // One that prefers another plugin than the greeting's may wait to be asked for it, with a nonce of its own.
    if (auth_response.empty() && client_plugin != settings_.auth_plugin) return switch_to(client_plugin, out);
    plugin_ = std::move(client_plugin);
    return check(auth_response, out);
  }
  used_password_ = !auth_response.empty();
  return switch_to(best_plugin(), out);
}

bool ServerHandshake::plugin_usable(std::string_view plugin) const {
  if (plugin == kClearPasswordPlugin) return secure() || settings_.allow_cleartext_without_tls;
  // An unknown user goes through the same motions as a known one.
  if (entries_.empty()) return plugin == settings_.auth_plugin;
  const auto any = [this](auto has) { return std::any_of(entries_.begin(), entries_.end(), has); };
  if (plugin == kNativePasswordPlugin) {
    return any([](const Credentials& c) { return c.any_password || c.clear_password || c.native; });
  }
  if (plugin == kCachingSha2Plugin) {
    return any([](const Credentials& c) { return c.any_password || c.clear_password || c.sha2 || c.sha2_stored; });
  }
  return false;
}

std::string_view ServerHandshake::best_plugin() const {
  for (const std::string_view plugin :
       {std::string_view(settings_.auth_plugin), kNativePasswordPlugin, kCachingSha2Plugin}) {
    if (plugin_usable(plugin)) return plugin;
  }
  return settings_.auth_plugin;
}

ServerHandshake::Next ServerHandshake::switch_to(std::string_view plugin, std::string& out) {
  if ((client_.capabilities & kClientPluginAuth) == 0) {
    return fail_with(
        out, errnos::kNotSupportedAuthMode, "08004",
        "Client does not support authentication protocol requested by server; consider upgrading MySQL client");
  }
  plugin_ = plugin;
  nonce_ = make_nonce(random_);
  std::string payload;
  encode_auth_switch(payload, {plugin_, plugin_ == kClearPasswordPlugin ? std::string() : nonce_});
  send(out, payload);
  step_ = Step::kSwitched;
  return Next::kRead;
}

ServerHandshake::Next ServerHandshake::check(std::string_view auth_response, std::string& out) {
  if (plugin_ == kCachingSha2Plugin) return check_sha2_fast(auth_response, out);
  if (plugin_ == kClearPasswordPlugin) return check_clear(without_terminator(auth_response), out);
  for (const Credentials& entry : entries_) {
    bool good = entry.any_password;
    if (!good && auth_response.empty()) good = entry.clear_password && entry.clear_password->empty();
    if (!good && entry.native) good = check_native(auth_response, nonce_, *entry.native);
    if (!good && entry.clear_password && !entry.clear_password->empty()) {
      good = check_native(auth_response, nonce_, native_hash(*entry.clear_password));
    }
    if (good) return accepted(entry);
  }
  return deny(out, !auth_response.empty());
}

ServerHandshake::Next ServerHandshake::check_sha2_fast(std::string_view auth_response, std::string& out) {
  // Clients send either nothing or one 0 byte for the empty password, and expect the verdict at once.
  if (auth_response.empty() || auth_response == std::string_view("\0", 1)) {
    for (const Credentials& entry : entries_) {
      if (entry.any_password || (entry.clear_password && entry.clear_password->empty())) return accepted(entry);
    }
    return deny(out, false);
  }
  used_password_ = true;
  bool full_may_help = false;
  for (const Credentials& entry : entries_) {
    bool good = entry.any_password;
    if (!good && entry.sha2) good = check_sha2(auth_response, nonce_, *entry.sha2);
    if (!good && entry.clear_password && !entry.clear_password->empty()) {
      good = check_sha2(auth_response, nonce_, sha2_hash(*entry.clear_password));
    }
    if (good) {
      std::string payload;
      encode_auth_more_data(payload, kFastAuthSucceeded);
      send(out, payload);
      return accepted(entry);
    }
    full_may_help = full_may_help || entry.sha2_stored;
  }
  if (!full_may_help) return deny(out, true);
  std::string payload;
  encode_auth_more_data(payload, kFullAuthNeeded);
  send(out, payload);
  step_ = Step::kSha2KeyOrPassword;
  return Next::kRead;
}

ServerHandshake::Next ServerHandshake::on_sha2_full(std::string_view payload, std::string& out) {
  if (secure()) return check_clear(without_terminator(payload), out);
  if (settings_.rsa_key == nullptr) return deny(out, true);
  if (step_ == Step::kSha2KeyOrPassword && payload == kPublicKeyRequest) {
    std::string answer;
    encode_auth_more_data(answer, settings_.rsa_key->public_key_pem());
    send(out, answer);
    step_ = Step::kSha2Encrypted;
    return Next::kRead;
  }
  const Result<std::string> hidden = settings_.rsa_key->decrypt(payload);
  if (!hidden.ok()) return deny(out, true);
  return check_clear(without_terminator(xor_with_nonce(*hidden, nonce_)), out);
}

ServerHandshake::Next ServerHandshake::check_clear(std::string_view password, std::string& out) {
  for (const Credentials& entry : entries_) {
    if (accepts_clear(entry, password)) return accepted(entry);
  }
  return deny(out, !password.empty());
}

ServerHandshake::Next ServerHandshake::accepted(const Credentials& credentials) {
  client_.user_data = credentials.user_data.empty() ? client_.user : credentials.user_data;
  client_.groups = credentials.groups;
  client_.auth_plugin = plugin_;
  step_ = Step::kFinished;
  return Next::kAccepted;
}

ServerHandshake::Next ServerHandshake::deny(std::string& out, bool using_password) {
  return fail_with(out, errnos::kAccessDenied, "28000",
                   fmt::format("Access denied for user '{}'@'{}' (using password: {})", client_.user, peer_.host,
                               using_password || used_password_ ? "YES" : "NO"));
}

ServerHandshake::Next ServerHandshake::fail_with(std::string& out, uint16_t code, std::string_view sqlstate,
                                                 std::string message) {
  refuse(out, {code, std::string(sqlstate), std::move(message)});
  return Next::kRefused;
}

void ServerHandshake::accept(std::string& out, uint16_t status_flags) {
  OkPacket ok;
  ok.status_flags = status_flags;
  std::string payload;
  encode_ok(payload, ok, client_.capabilities);
  send(out, payload);
}

void ServerHandshake::refuse(std::string& out, const ErrPacket& err) {
  error_ = err;
  step_ = Step::kFinished;
  std::string payload;
  encode_err(payload, err, kClientProtocol41);
  send(out, payload);
}

void ServerHandshake::resume(AuthenticatedClient client, bool secure) {
  client_ = std::move(client);
  secure_ = secure;
  step_ = Step::kFinished;
}

ServerHandshake::Next ServerHandshake::on_change_user(uint8_t sequence, std::string_view payload, std::string& out) {
  sequence_ = static_cast<uint8_t>(sequence + 1);
  used_password_ = false;
  Result<ChangeUser> change = decode_change_user(payload, client_.capabilities);
  if (!change.ok()) return fail_with(out, errnos::kBadHandshake, "08S01", "Bad handshake");
  client_.user = std::move(change->user);
  client_.database = std::move(change->database);
  client_.collation = change->collation;
  if (!change->attributes.empty()) client_.attributes = std::move(change->attributes);
  client_.groups.clear();
  client_.user_data.clear();
  entries_ = settings_.provider->find_user(client_.user, peer_);
  if ((client_.capabilities & kClientPluginAuth) == 0) {
    return negotiate(std::string(kNativePasswordPlugin), std::move(change->auth_response), out);
  }
  // The client answered the nonce of the last login, which may have been seen on the wire: ask again with a new one.
  used_password_ = !change->auth_response.empty();
  return switch_to(plugin_usable(change->auth_plugin) ? std::string_view(change->auth_plugin) : best_plugin(), out);
}

}  // namespace vitrail::mysql
