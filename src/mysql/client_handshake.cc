#include "mysql/client_handshake.h"

#include <fmt/core.h>

#include <algorithm>

#include "mysql/auth.h"
#include "mysql/data_port.h"
#include "mysql/errors.h"
#include "mysql/packet.h"

namespace vitrail::mysql {
namespace {

constexpr std::string_view kFastAuthSucceeded = "\x03";
constexpr std::string_view kFullAuthNeeded = "\x04";
constexpr std::string_view kPublicKeyRequest = "\x02";
constexpr size_t kMaxPublicKeySize = 16 * 1024;
// No honest exchange is longer; a server that goes on asking is given up.
constexpr uint8_t kMaxSequence = 32;

std::string terminated(const std::string& password) { return password + '\0'; }

}  // namespace

void ClientHandshake::send(std::string& out, std::string_view payload) {
  PacketWriter writer(out, sequence_);
  writer.message(payload);
  sequence_ = writer.sequence();
}

ClientHandshake::Next ClientHandshake::fail_with(Error error) {
  error_ = std::move(error);
  step_ = Step::kFinished;
  return Next::kFailed;
}

ClientHandshake::Next ClientHandshake::on_message(uint8_t sequence, std::string_view payload, std::string& out) {
  if (step_ == Step::kFinished || step_ == Step::kTls || sequence != sequence_ || sequence > kMaxSequence) {
    return fail_with(fail(Code::kUnavailable, "the server's messages are out of order during login")
                         .with_mysql(errnos::kPacketsOutOfOrder, "08S01"));
  }
  sequence_ = static_cast<uint8_t>(sequence + 1);
  if (is_err(payload)) {
    const Result<ErrPacket> err = decode_err(payload);
    return fail_with(err.ok() ? from_err_packet(*err) : err.error());
  }
  return step_ == Step::kGreeting ? on_greeting(payload, out) : on_result(payload, out);
}

ClientHandshake::Next ClientHandshake::on_greeting(std::string_view payload, std::string& out) {
  Result<HandshakeV10> greeting = decode_handshake_v10(payload);
  if (!greeting.ok()) return fail_with(std::move(greeting).error());
  server_ = std::move(*greeting);
  if ((server_.capabilities & kClientProtocol41) == 0 || (server_.capabilities & kClientSecureConnection) == 0) {
    return fail_with(fail(Code::kUnimplemented, fmt::format("server version {} is too old", server_.server_version)));
  }
  Capabilities wanted =
      settings_.capabilities & (kSupportedCapabilities | kVitrailCallers) & ~(kClientSsl | kClientConnectWithDb);
  if (!settings_.database.empty()) wanted |= kClientConnectWithDb;
  if (settings_.use_tls) wanted |= kClientSsl;
  capabilities_ = wanted & server_.capabilities;
  if (!settings_.database.empty() && (capabilities_ & kClientConnectWithDb) == 0) {
    return fail_with(fail(Code::kUnimplemented, "the server takes no database at login"));
  }
  nonce_ = server_.nonce;
  plugin_ = server_.auth_plugin;
  if (plugin_ != kCachingSha2Plugin) plugin_ = kNativePasswordPlugin;  // The server will ask for another if it must.
  if (!settings_.use_tls || (settings_.tls_optional && (capabilities_ & kClientSsl) == 0)) {
    send_response(out);
    return Next::kRead;
  }
  if ((capabilities_ & kClientSsl) == 0) {
    return fail_with(fail(Code::kUnavailable, "TLS is required, but the server does not offer it")
                         .with_mysql(errnos::kClientTlsError, "HY000"));
  }
  HandshakeResponse head;
  head.capabilities = capabilities_;
  head.max_packet_size = settings_.max_packet_size;
  head.collation = settings_.collation;
  std::string request;
  encode_ssl_request(request, head);
  send(out, request);
  step_ = Step::kTls;
  return Next::kStartTls;
}

void ClientHandshake::tls_started(std::string& out) {
  tls_ = true;
  send_response(out);
}

void ClientHandshake::send_response(std::string& out) {
  HandshakeResponse response;
  response.capabilities = capabilities_;
  response.max_packet_size = settings_.max_packet_size;
  response.collation = settings_.collation;
  response.user = settings_.user;
  response.auth_response = plugin_ == kCachingSha2Plugin ? sha2_scramble(settings_.password, nonce_)
                                                         : native_scramble(settings_.password, nonce_);
  response.database = settings_.database;
  response.auth_plugin = plugin_;
  response.attributes = settings_.attributes;
  std::string payload;
  encode_handshake_response(payload, response);
  send(out, payload);
  step_ = Step::kResult;
}

ClientHandshake::Next ClientHandshake::on_result(std::string_view payload, std::string& out) {
  const uint8_t first = payload.empty() ? 0xff : static_cast<uint8_t>(payload[0]);
  if (first == kOkHeader) {
    Result<OkPacket> ok = decode_ok(payload, capabilities_);
    if (!ok.ok()) return fail_with(std::move(ok).error());
    ok_ = std::move(*ok);
    step_ = Step::kFinished;
    return Next::kDone;
  }
  if (first == kEofHeader) return on_switch(payload, out);
  if (first == 0x01) return on_more_data(payload, out);
  return fail_with(malformed("message during login"));
}

ClientHandshake::Next ClientHandshake::on_switch(std::string_view payload, std::string& out) {
  if (payload.size() == 1) {
    return fail_with(fail(Code::kUnimplemented, "the server asks for the password form of MySQL 4.0")
                         .with_mysql(errnos::kClientAuthPluginError, "HY000"));
  }
  Result<AuthSwitchRequest> request = decode_auth_switch(payload);
  if (!request.ok()) return fail_with(std::move(request).error());
  plugin_ = std::move(request->plugin);
  nonce_ = std::move(request->data);
  Result<std::string> answer = first_answer(plugin_);
  if (!answer.ok()) return fail_with(std::move(answer).error());
  send(out, *answer);
  step_ = Step::kResult;
  return Next::kRead;
}

Result<std::string> ClientHandshake::first_answer(std::string_view plugin) {
  if (plugin == kNativePasswordPlugin) return native_scramble(settings_.password, nonce_);
  if (plugin == kCachingSha2Plugin) return sha2_scramble(settings_.password, nonce_);
  if (plugin == "auth_socket" || plugin == "unix_socket") return std::string();
  if (plugin == kClearPasswordPlugin) {
    if (secure() || settings_.allow_cleartext) return terminated(settings_.password);
    return fail(Code::kPermissionDenied,
                "Authentication plugin 'mysql_clear_password' reported error: the password would cross the network "
                "unencrypted")
        .with_mysql(errnos::kClientAuthPluginErr, "HY000");
  }
  return fail(Code::kUnimplemented, fmt::format("Authentication plugin '{}' cannot be loaded", plugin))
      .with_mysql(errnos::kClientAuthPluginError, "HY000");
}

ClientHandshake::Next ClientHandshake::on_more_data(std::string_view payload, std::string& out) {
  const Result<std::string_view> data = decode_auth_more_data(payload);
  if (!data.ok()) return fail_with(data.error());
  if (plugin_ != kCachingSha2Plugin) return fail_with(malformed("message during login"));
  if (step_ == Step::kSha2Key) return send_encrypted(*data, out);
  if (step_ != Step::kResult) return fail_with(malformed("message during login"));
  if (*data == kFastAuthSucceeded) return Next::kRead;
  if (*data != kFullAuthNeeded) return fail_with(malformed("message during login"));
  if (secure()) {
    send(out, terminated(settings_.password));
    return Next::kRead;
  }
  if (!settings_.server_public_key.empty()) return send_encrypted(settings_.server_public_key, out);
  send(out, kPublicKeyRequest);
  step_ = Step::kSha2Key;
  return Next::kRead;
}

ClientHandshake::Next ClientHandshake::send_encrypted(std::string_view public_key, std::string& out) {
  if (public_key.size() > kMaxPublicKeySize) return fail_with(malformed("public key"));
  Result<std::string> cipher = rsa_encrypt(xor_with_nonce(terminated(settings_.password), nonce_), public_key);
  if (!cipher.ok()) {
    return fail_with(std::move(cipher).error().with_mysql(errnos::kClientAuthPluginErr, "HY000"));
  }
  send(out, *cipher);
  step_ = Step::kResult;
  return Next::kRead;
}

}  // namespace vitrail::mysql
