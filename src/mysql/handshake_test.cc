#include "mysql/data_port.h"
#include "mysql/handshake.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/hex.h"
#include "mysql/auth_static.h"
#include "mysql/client_handshake.h"
#include "mysql/errors.h"
#include "mysql/packet.h"
#include "mysql/server_handshake.h"

namespace vitrail::mysql {
namespace {

using namespace std::string_literals;

class CountingRandom : public base::Random {
 public:
  void fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) byte = next_++;
  }

 private:
  uint8_t next_ = 0;
};

std::shared_ptr<const RsaKeyPair> rsa_key() {
  static const auto key = RsaKeyPair::generate().value();
  return key;
}

// --- Codecs ---

TEST(HandshakeV10, RoundTripsForBothFlavors) {
  HandshakeV10 handshake;
  handshake.server_version = "8.4.6";
  handshake.connection_id = 77;
  handshake.nonce = "12345678901234567890";
  handshake.capabilities = kSupportedCapabilities & 0xffffffff;
  handshake.auth_plugin = kCachingSha2Plugin;
  std::string out;
  encode_handshake_v10(out, handshake);
  EXPECT_EQ(decode_handshake_v10(out).value(), handshake);

  handshake.server_version = "5.5.5-10.11.6-MariaDB";
  handshake.capabilities = (handshake.capabilities & ~kClientLongPassword) | kMariadbClientExtendedMetadata;
  std::string mariadb;
  encode_handshake_v10(mariadb, handshake);
  EXPECT_EQ(decode_handshake_v10(mariadb).value(), handshake);
  // The nonce ends behind byte 50; what follows may be left out.
  for (size_t size = 0; size < 50; ++size) EXPECT_FALSE(decode_handshake_v10(out.substr(0, size)).ok()) << size;
}

TEST(HandshakeV10, ReadsTheDocumentedExample) {
  // MySQL 5.6.4 in the protocol's documentation.
  const auto handshake = decode_handshake_v10(base::hex_decode("0a352e362e342d6d372d6c6f6700"
                                                               "560a0000"
                                                               "524233767a26477200"
                                                               "ffff"
                                                               "08"
                                                               "0200"
                                                               "0fc0"
                                                               "15"
                                                               "00000000000000000000"
                                                               "2b7944263a5a5a3330355a4700"
                                                               "6d7973716c5f6e61746976655f70617373776f726400")
                                                  .value());
  ASSERT_TRUE(handshake.ok());
  EXPECT_EQ(handshake->server_version, "5.6.4-m7-log");
  EXPECT_EQ(handshake->connection_id, 2646u);
  EXPECT_EQ(handshake->nonce, "RB3vz&Gr+yD&:ZZ305ZG");
  EXPECT_EQ(handshake->auth_plugin, kNativePasswordPlugin);
  EXPECT_EQ(handshake->capabilities, 0xc00fffffu);
}

HandshakeResponse full_response(Capabilities capabilities) {
  HandshakeResponse response;
  response.capabilities = capabilities;
  response.user = "app";
  response.auth_response = std::string(20, '\x11');
  if ((capabilities & kClientConnectWithDb) != 0) response.database = "commerce/0@primary";
  if ((capabilities & kClientPluginAuth) != 0) response.auth_plugin = kNativePasswordPlugin;
  if ((capabilities & kClientConnectAttrs) != 0) response.attributes = {{"_client_name", "libmysql"}, {"empty", ""}};
  return response;
}

TEST(HandshakeResponse, RoundTripsWithEveryMixOfOptionalParts) {
  for (const Capabilities lenenc : {Capabilities{0}, kClientPluginAuthLenencData}) {
    for (const Capabilities db : {Capabilities{0}, kClientConnectWithDb}) {
      for (const Capabilities plugin : {Capabilities{0}, kClientPluginAuth}) {
        for (const Capabilities attributes : {Capabilities{0}, kClientConnectAttrs}) {
          const HandshakeResponse response = full_response(kClientLongPassword | kClientProtocol41 |
                                                           kClientSecureConnection | lenenc | db | plugin | attributes);
          std::string out;
          encode_handshake_response(out, response);
          EXPECT_EQ(decode_handshake_response(out).value(), response);
        }
      }
    }
  }
}

TEST(HandshakeResponse, KeepsMariadbsExtendedCapabilities) {
  const HandshakeResponse response =
      full_response(kClientProtocol41 | kClientSecureConnection | kMariadbClientExtendedMetadata);
  std::string out;
  encode_handshake_response(out, response);
  EXPECT_EQ(decode_handshake_response(out)->capabilities, response.capabilities);
}

TEST(HandshakeResponse, RefusesOldAndCutMessages) {
  const HandshakeResponse response = full_response(kClientLongPassword | kClientProtocol41 | kClientSecureConnection);
  std::string out;
  encode_handshake_response(out, response);
  for (size_t size = 0; size < out.size(); ++size) EXPECT_FALSE(decode_handshake_response(out.substr(0, size)).ok());
  out[1] = static_cast<char>(out[1] & ~0x02);  // Without CLIENT_PROTOCOL_41.
  EXPECT_FALSE(decode_handshake_response(out).ok());
}

TEST(SslRequest, IsToldFromAResponse) {
  HandshakeResponse response = full_response(kClientLongPassword | kClientProtocol41 | kClientSecureConnection);
  std::string request, whole;
  encode_ssl_request(request, response);
  response.capabilities |= kClientSsl;
  encode_handshake_response(whole, response);
  EXPECT_EQ(request.size(), 32u);
  EXPECT_TRUE(is_ssl_request(request));
  EXPECT_FALSE(is_ssl_request(whole));
  EXPECT_EQ(decode_ssl_request(request)->collation, response.collation);
}

TEST(ChangeUser, RoundTrips) {
  const ChangeUser change{"app", "scramble", "db", 45, "mysql_native_password", {{"a", "b"}}};
  constexpr Capabilities kAll = kClientPluginAuth | kClientConnectAttrs;
  std::string out;
  encode_change_user(out, change, kAll);
  EXPECT_EQ(decode_change_user(out, kAll).value(), change);
}

// --- Password arithmetic ---

TEST(NativePassword, MatchesKnownVectors) {
  // PASSWORD('password') and PASSWORD('mypass') as servers print them.
  EXPECT_EQ(base::hex_encode(native_hash("password")), "2470c0c06dee42fd1618bb99005adca2ec9d1e19");
  EXPECT_EQ(base::hex_encode(native_hash("mypass")), "6c8989366eaf75bb670ad8ea7a7fc1176a95cef4");
  const std::string nonce = base::hex_decode("0102030405060708090a0b0c0d0e0f1011121314").value();
  const std::string scramble = native_scramble("secret", nonce);
  EXPECT_EQ(base::hex_encode(scramble), "b32bb3a583e1340c0a1108d58b1be49781ad8c2f");
  EXPECT_TRUE(check_native(scramble, nonce, native_hash("secret")));
  EXPECT_FALSE(check_native(scramble, nonce, native_hash("Secret")));
  EXPECT_FALSE(check_native("", nonce, native_hash("secret")));
  EXPECT_EQ(native_scramble("", nonce), "");
}

TEST(CachingSha2, MatchesPublicVectors) {
  const std::string nonce = base::hex_decode("0a2f4a6f4b492230584c724a250d035052021715").value();
  EXPECT_EQ(base::hex_encode(sha2_scramble("secret", nonce)),
            "f490e76f66d9d86665ce54d98c78d0acfe2fb0b08b423da807144873d30b312c");
  EXPECT_EQ(base::hex_encode(sha2_scramble("secret2", nonce)),
            "abc3934a012cf342e876071c8ee202de51785b430258a7a0138bc79c4d800bc6");
  EXPECT_TRUE(check_sha2(sha2_scramble("secret", nonce), nonce, sha2_hash("secret")));
  EXPECT_FALSE(check_sha2(sha2_scramble("secret", nonce), nonce, sha2_hash("secret2")));
}

TEST(Sha256Crypt, MatchesCrypt3) {
  EXPECT_EQ(sha256_crypt_digest("Hello world!", "saltstring", 5000), "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5");
  EXPECT_EQ(sha256_crypt_digest("Hello world!", "saltstringsaltst", 10000),
            "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA");
  EXPECT_EQ(sha256_crypt_digest("a much longer password than one digest, by far", "abcdefghijklmnop", 5000),
            "arqHHCuvV5k8oQPWDC5LetS89lymFpWSxuLh7MkXLd4");
}

TEST(Sha256Crypt, ChecksWhatMysqlStores) {
  // A row of mysql.user published with the password "hashcat": 20 bytes of salt.
  const std::string stored = "$A$005$" + base::hex_decode("F9CC98CE08892924F50A213B6BC571A2C11778C5").value() +
                             base::hex_decode(
                                 "625479393559393965414D45316477456B484F41316E64484742577A2E31627853"
                                 "53526B7554584647562F")
                                 .value();
  EXPECT_TRUE(check_sha2_stored("hashcat", stored));
  EXPECT_FALSE(check_sha2_stored("hashdog", stored));
  EXPECT_FALSE(check_sha2_stored("hashcat", stored.substr(1)));
  EXPECT_FALSE(check_sha2_stored(std::string(257, 'x'), stored));
  EXPECT_TRUE(check_sha2_stored("p", make_sha2_stored("p", "abcdefghijklmnopqrst")));
}

TEST(Nonce, HasNoByteThatEndsIt) {
  CountingRandom random;
  for (int i = 0; i < 50; ++i) {
    const std::string nonce = make_nonce(random);
    ASSERT_EQ(nonce.size(), kNonceSize);
    for (const char c : nonce) EXPECT_TRUE(c > 0 && c != '$');
  }
}

TEST(Rsa, RoundTripsAndRefusesRubbish) {
  const auto key = rsa_key();
  EXPECT_EQ(key->decrypt(rsa_encrypt("secret", key->public_key_pem()).value()).value(), "secret");
  EXPECT_FALSE(key->decrypt("rubbish").ok());
  EXPECT_FALSE(rsa_encrypt("secret", "rubbish").ok());
  EXPECT_FALSE(rsa_encrypt(std::string(300, 'x'), key->public_key_pem()).ok());
}

// --- Static credentials ---

TEST(StaticCredentials, KnowAllForms) {
  const auto parsed = StaticCredentials::parse(R"({
    "native": [{"MysqlNativePassword": "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "Password": "ignored", "UserData": "caller"}],
    "sha2": [{"CachingSha2Password": "3881219d087dd9c634373fd33dfa33a2cb6bfc6c520b64b8bb60ef2ceb534ae7"}],
    "clear": {"Password": "p", "Groups": ["a", "b"]},
    "two": [{"Password": "anywhere"}, {"Password": "here", "SourceHost": "localhost"}],
    "open": [{}]
  })");
  ASSERT_TRUE(parsed.ok()) << parsed.error().to_string();
  EXPECT_EQ(parsed->users(), 5u);
  const Peer remote{"10.0.0.1", false};
  const Peer local{"localhost", true};
  const auto native = parsed->find_user("native", remote);
  ASSERT_EQ(native.size(), 1u);
  EXPECT_EQ(native[0].native, native_hash("password"));
  EXPECT_FALSE(native[0].clear_password);
  EXPECT_EQ(native[0].user_data, "caller");
  EXPECT_EQ(parsed->find_user("sha2", remote)[0].sha2, sha2_hash("secret"));
  EXPECT_EQ(parsed->find_user("clear", remote)[0].groups, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(parsed->find_user("two", remote).size(), 1u);
  EXPECT_EQ(parsed->find_user("two", local).size(), 2u);
  EXPECT_EQ(parsed->find_user("open", remote)[0].clear_password, "");
  EXPECT_TRUE(parsed->find_user("nobody", remote).empty());
}

TEST(StaticCredentials, NameEveryProblemAndNoPassword) {
  const auto parsed = StaticCredentials::parse(
      R"({"a": [{"MysqlNativePassword": "*12"}], "b": [{"Password": 5}], "c": [7], "d": [{"Password": "hush", "SourceHost": "%"}],
          "e": [{"Groups": "x"}], "f": [{"CachingSha2Password": "zz"}]})");
  ASSERT_FALSE(parsed.ok());
  for (const char* part :
       {"'a': MysqlNativePassword", "'b': Password", "'c'", "'d': SourceHost", "'e': Groups", "'f': CachingSha2"}) {
    EXPECT_NE(parsed.error().message().find(part), std::string::npos) << part;
  }
  EXPECT_EQ(parsed.error().message().find("hush"), std::string::npos);
  EXPECT_FALSE(StaticCredentials::parse("{").ok());
  EXPECT_FALSE(StaticCredentials::parse("[]").ok());
}

TEST(ReloadableCredentials, AnswerFromTheNewestUsers) {
  const auto parse = [](std::string_view json) {
    return std::make_shared<const StaticCredentials>(StaticCredentials::parse(json).value());
  };
  ReloadableCredentials users(parse(R"({"a": [{}]})"));
  EXPECT_EQ(users.find_user("a", {}).size(), 1u);
  users.replace(parse(R"({"b": [{}]})"));
  EXPECT_TRUE(users.find_user("a", {}).empty());
  EXPECT_EQ(users.find_user("b", {}).size(), 1u);
}

// --- Scripts: both state machines against each other ---

class Users : public AuthProvider {
 public:
  std::vector<Credentials> find_user(std::string_view user, const Peer&) const override {
    Credentials entry;
    if (user == "native") entry.native = native_hash("secret");
    if (user == "sha2") entry.sha2 = sha2_hash("secret");
    if (user == "stored") entry.sha2_stored = make_sha2_stored("secret", "abcdefghijklmnopqrst");
    if (user == "clear") entry.clear_password = "secret";
    if (user == "empty") entry.clear_password = "";
    if (user == "any") entry.any_password = true;
    if (user == "nobody") return {};
    entry.user_data = "data of " + std::string(user);
    return {entry};
  }
};
const Users kUsers;

struct Script {
  std::string user = "native";
  std::string password = "secret";
  std::string server_plugin{kNativePasswordPlugin};
  bool unix_socket = false;
  bool tls = false;
  bool has_rsa = true;
  bool client_allows_cleartext = false;
  bool server_allows_cleartext = false;
  bool require_secure = false;
  std::string database = "commerce";
  Capabilities client_capabilities = ClientAuthSettings().capabilities;
};

struct Played {
  bool client_done = false;
  bool server_accepted = false;
  std::optional<Error> client_error;
  ErrPacket server_error;
  AuthenticatedClient client;
  std::string plugin;
  int messages = 0;
  int tls_started = 0;
};

// Called for each message on its way; may change it. Returns false to lose it (the stream ends).
using Meddler = std::function<bool(int index, bool from_server, std::string& payload)>;

Played play(const Script& script, const Meddler& meddle = {}) {
  Played played;
  ServerAuthSettings server_settings;
  server_settings.auth_plugin = script.server_plugin;
  server_settings.provider = &kUsers;
  server_settings.tls_available = script.tls;
  server_settings.require_secure_transport = script.require_secure;
  server_settings.allow_cleartext_without_tls = script.server_allows_cleartext;
  if (script.has_rsa) server_settings.rsa_key = rsa_key();
  ClientAuthSettings client_settings;
  client_settings.user = script.user;
  client_settings.password = script.password;
  client_settings.database = script.database;
  client_settings.capabilities = script.client_capabilities;
  client_settings.secure_transport = script.unix_socket;
  client_settings.use_tls = script.tls;
  client_settings.allow_cleartext = script.client_allows_cleartext;
  client_settings.attributes = {{"program_name", "test"}};

  CountingRandom random;
  ServerHandshake server(server_settings, 42, {"10.1.2.3", script.unix_socket}, random);
  ClientHandshake client(client_settings);
  std::string to_client, to_server;
  server.start(to_client);
  bool server_open = true;
  bool client_open = true;
  while ((client_open && !to_client.empty()) || (server_open && !to_server.empty())) {
    const bool from_server = client_open && !to_client.empty();
    std::string& stream = from_server ? to_client : to_server;
    MessageReader reader;
    const auto message = reader.next(stream);
    if (!message.ok() || !message->has_value()) break;
    std::string payload((*message)->payload);
    const uint8_t sequence = (*message)->last_sequence;
    stream.erase(0, (*message)->consumed);
    if (meddle && !meddle(played.messages, from_server, payload)) break;
    ++played.messages;
    if (from_server) {
      switch (client.on_message(sequence, payload, to_server)) {
        case ClientHandshake::Next::kRead: break;
        case ClientHandshake::Next::kStartTls: {
          // The request is read before TLS starts; the response comes after.
          client.tls_started(to_server);
          break;
        }
        case ClientHandshake::Next::kDone:
          played.client_done = true;
          client_open = false;
          break;
        case ClientHandshake::Next::kFailed:
          played.client_error = client.error();
          client_open = false;
          server_open = false;
          break;
      }
    } else {
      switch (server.on_message(sequence, payload, to_client)) {
        case ServerHandshake::Next::kRead: break;
        case ServerHandshake::Next::kStartTls:
          ++played.tls_started;
          server.tls_started();
          break;
        case ServerHandshake::Next::kAccepted:
          played.server_accepted = true;
          played.client = server.client();
          server.accept(to_client, kStatusAutocommit);
          server_open = false;
          break;
        case ServerHandshake::Next::kRefused:
          played.server_error = server.error();
          server_open = false;
          break;
      }
    }
  }
  return played;
}

void expect_login(const Script& script, std::string_view plugin, int messages) {
  const Played played = play(script);
  EXPECT_TRUE(played.client_done) << script.user << ": "
                                  << (played.client_error ? played.client_error->to_string() : "?");
  EXPECT_TRUE(played.server_accepted);
  EXPECT_EQ(played.client.user, script.user);
  EXPECT_EQ(played.client.user_data, "data of " + script.user);
  EXPECT_EQ(played.client.database, script.database);
  EXPECT_EQ(played.client.auth_plugin, plugin);
  EXPECT_EQ(played.messages, messages) << script.user;
}

void expect_refusal(const Script& script, uint16_t code) {
  const Played played = play(script);
  EXPECT_FALSE(played.client_done);
  EXPECT_FALSE(played.server_accepted);
  ASSERT_TRUE(played.client_error);
  EXPECT_EQ(played.client_error->mysql_errno(), code) << played.client_error->to_string();
}

TEST(Login, NativeTakesThreeMessages) {
  expect_login({.user = "native"}, kNativePasswordPlugin, 3);
  expect_login({.user = "clear"}, kNativePasswordPlugin, 3);
  expect_login({.user = "empty", .password = ""}, kNativePasswordPlugin, 3);
  expect_login({.user = "any", .password = "whatever"}, kNativePasswordPlugin, 3);
  expect_login({.user = "any", .password = ""}, kNativePasswordPlugin, 3);
}

TEST(Login, NegotiatesWhatBothSidesKnow) {
  const Played played = play({.user = "native"});
  EXPECT_EQ(played.client.capabilities & kClientDeprecateEof, kClientDeprecateEof);
  EXPECT_EQ(played.client.capabilities & kClientSsl, 0u);
  EXPECT_EQ(played.client.attributes, (ConnectAttributes{{"program_name", "test"}}));
  EXPECT_EQ(played.client.collation, 45);
  const Played old = play({.user = "native", .client_capabilities = kClientProtocol41 | kClientSecureConnection});
  EXPECT_TRUE(old.client_done);
  EXPECT_EQ(old.client.capabilities & kClientDeprecateEof, 0u);
}

TEST(Login, Sha2FastTakesFourMessages) {
  const std::string plugin(kCachingSha2Plugin);
  expect_login({.user = "sha2", .server_plugin = plugin}, kCachingSha2Plugin, 4);
  expect_login({.user = "clear", .server_plugin = plugin}, kCachingSha2Plugin, 4);
  expect_login({.user = "any", .server_plugin = plugin}, kCachingSha2Plugin, 4);
  expect_login({.user = "empty", .password = "", .server_plugin = plugin}, kCachingSha2Plugin, 3);
}

TEST(Login, SwitchesThePluginBothWays) {
  expect_login({.user = "sha2"}, kCachingSha2Plugin, 6);
  expect_login({.user = "native", .server_plugin = std::string(kCachingSha2Plugin)}, kNativePasswordPlugin, 5);
}

TEST(Login, Sha2FullGoesClearOnlyOverASecureTransport) {
  const std::string plugin(kCachingSha2Plugin);
  std::vector<std::string> seen;
  const auto record = [&](int, bool from_server, std::string& payload) {
    if (!from_server) seen.push_back(payload);
    return true;
  };
  EXPECT_TRUE(
      play({.user = "stored", .server_plugin = plugin, .unix_socket = true, .has_rsa = false}, record).client_done);
  EXPECT_EQ(seen.back(), "secret\0"s);
  seen.clear();
  EXPECT_TRUE(play({.user = "stored", .server_plugin = plugin}, record).client_done);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[1], "\x02");
  EXPECT_EQ(seen[2].size(), 256u);
  seen.clear();
  EXPECT_TRUE(play({.user = "stored", .server_plugin = plugin, .tls = true, .has_rsa = false}, record).client_done);
  EXPECT_EQ(seen.back(), "secret\0"s);
  // Neither TLS nor a key: refused.
  expect_refusal({.user = "stored", .server_plugin = plugin, .has_rsa = false}, errnos::kAccessDenied);
  // And with the wrong password.
  expect_refusal({.user = "stored", .password = "wrong", .server_plugin = plugin}, errnos::kAccessDenied);
}

TEST(Login, ClearPasswordNeedsPermissionOrASecureTransport) {
  const std::string plugin(kClearPasswordPlugin);
  expect_login({.user = "native", .server_plugin = plugin, .unix_socket = true}, kNativePasswordPlugin, 3);
  // The client answers a clear-text greeting with the native plugin; a user that needs the password itself is switched.
  expect_login({.user = "stored", .server_plugin = plugin, .unix_socket = true}, kClearPasswordPlugin, 5);
  expect_login(
      {.user = "stored", .server_plugin = plugin, .client_allows_cleartext = true, .server_allows_cleartext = true},
      kClearPasswordPlugin, 5);
  expect_refusal({.user = "stored", .server_plugin = plugin, .server_allows_cleartext = true},
                 errnos::kClientAuthPluginErr);
}

TEST(Login, WrongPasswordsAreRefusedAsMysqlDoes) {
  for (const char* plugin : {"mysql_native_password", "caching_sha2_password"}) {
    for (const char* user : {"native", "sha2", "clear", "stored", "nobody"}) {
      for (const char* password : {"wrong", ""}) {
        const Played played = play({.user = user, .password = password, .server_plugin = plugin});
        ASSERT_TRUE(played.client_error) << user;
        EXPECT_EQ(played.client_error->mysql_errno(), 1045);
        EXPECT_EQ(played.client_error->code(), Code::kUnauthenticated);
        EXPECT_EQ(played.server_error.sqlstate, "28000");
        EXPECT_EQ(played.server_error.message,
                  "Access denied for user '" + std::string(user) +
                      "'@'10.1.2.3' (using password: " + (*password == '\0' ? "NO" : "YES") + ")");
      }
    }
    expect_refusal({.user = "empty", .password = "not empty", .server_plugin = plugin}, errnos::kAccessDenied);
  }
}

TEST(Login, StartsTlsBetweenRequestAndResponse) {
  const Played played = play({.user = "native", .tls = true, .require_secure = true});
  EXPECT_TRUE(played.client_done);
  EXPECT_EQ(played.tls_started, 1);
  EXPECT_EQ(played.client.capabilities & kClientSsl, kClientSsl);
  EXPECT_EQ(played.messages, 4);
}

TEST(Login, RefusesPlainTransportWhereASecureOneIsRequired) {
  expect_refusal({.user = "native", .require_secure = true}, errnos::kSecureTransportRequired);
  expect_login({.user = "native", .unix_socket = true, .require_secure = true}, kNativePasswordPlugin, 3);
}

TEST(Login, ClientInsistsOnTls) {
  ClientAuthSettings settings;
  settings.use_tls = true;
  ClientHandshake client(settings);
  HandshakeV10 greeting;
  greeting.nonce = std::string(20, 'n');
  greeting.capabilities = kClientProtocol41 | kClientSecureConnection;
  std::string payload, out;
  encode_handshake_v10(payload, greeting);
  EXPECT_EQ(client.on_message(0, payload, out), ClientHandshake::Next::kFailed);
  EXPECT_EQ(out, "");
  // Unless plain text will do.
  settings.tls_optional = true;
  ClientHandshake modest(settings);
  EXPECT_EQ(modest.on_message(0, payload, out), ClientHandshake::Next::kRead);
  EXPECT_NE(out, "");
}

TEST(Login, SendsStoredSha2PasswordsClearOverTls) {
  const Played played =
      play({.user = "stored", .server_plugin = std::string(kCachingSha2Plugin), .tls = true, .has_rsa = false},
           [](int, bool from_server, std::string& payload) {
             // Nothing of the user goes ahead of TLS.
             if (!from_server && is_ssl_request(payload)) EXPECT_EQ(payload.size(), 32u);
             return true;
           });
  EXPECT_TRUE(played.client_done);
  EXPECT_EQ(played.tls_started, 1);
}

TEST(Login, OldClientsCannotBeSwitched) {
  expect_refusal({.user = "sha2", .client_capabilities = kClientProtocol41 | kClientSecureConnection},
                 errnos::kNotSupportedAuthMode);
}

// Every message of every script in turn: lost, emptied, cut at each byte, or spoilt. Whatever happens, no machine
// accepts what it should not, none hangs, and a password is never sent in the clear over a plain transport.
TEST(LoginScripts, SurviveEveryStepFailing) {
  const std::string sha2(kCachingSha2Plugin);
  const std::vector<Script> scripts = {{.user = "native"},
                                       {.user = "native", .server_plugin = sha2},
                                       {.user = "sha2"},
                                       {.user = "sha2", .server_plugin = sha2},
                                       {.user = "stored", .server_plugin = sha2},
                                       {.user = "native", .tls = true},
                                       {.user = "stored", .server_plugin = sha2, .tls = true, .has_rsa = false},
                                       {.user = "nobody"}};
  for (const Script& script : scripts) {
    const Played good = play(script);
    for (int step = 0; step < good.messages; ++step) {
      size_t size = 0;
      const auto expect_no_login = [&](const Meddler& meddle, std::string_view how) {
        const Played played = play(script, [&](int index, bool from_server, std::string& payload) {
          if (!from_server && !script.tls) EXPECT_EQ(payload.find("secret"), std::string::npos) << how;
          return meddle(index, from_server, payload);
        });
        // The last message is the verdict: the server has accepted by then; the client must not believe a broken one.
        EXPECT_FALSE(played.client_done) << script.user << " step " << step << ": " << how;
        if (step + 1 < good.messages) EXPECT_FALSE(played.server_accepted && played.client_done) << how;
      };
      expect_no_login(
          [&](int index, bool, std::string& payload) {
            if (index == step) size = payload.size();
            return index != step;
          },
          "lost");
      expect_no_login(
          [&](int index, bool, std::string& payload) {
            if (index == step) payload.clear();
            return true;
          },
          "emptied");
      bool has_capabilities_first = false;  // Spoiling those only asks for other ones.
      play(script, [&](int index, bool from_server, std::string& payload) {
        if (index == step)
          has_capabilities_first =
              !from_server && (is_ssl_request(payload) || payload.find(script.user) != std::string::npos);
        return true;
      });
      if (!has_capabilities_first) {
        expect_no_login(
            [&](int index, bool, std::string& payload) {
              if (index == step && !payload.empty()) payload[0] = static_cast<char>(payload[0] ^ 0x55);
              return true;
            },
            "first byte spoilt");
      }
      for (size_t cut = 1; cut < size; cut += 1 + size / 40) {
        const Played played = play(script, [&](int index, bool, std::string& payload) {
          if (index == step) payload.resize(cut);
          return true;
        });
        // A cut can leave a message whole (optional parts at its end); then the login is as good as before.
        EXPECT_TRUE(!played.client_done || played.server_accepted);
      }
    }
  }
}

TEST(ServerHandshake, RefusesMessagesOutOfOrder) {
  ServerAuthSettings settings;
  CountingRandom random;
  ServerHandshake server(settings, 1, {"h", false}, random);
  std::string out;
  server.start(out);
  out.clear();
  EXPECT_EQ(server.on_message(5, "x", out), ServerHandshake::Next::kRefused);
  EXPECT_EQ(server.error().code, errnos::kPacketsOutOfOrder);
  EXPECT_FALSE(out.empty());
}

TEST(ServerHandshake, RefusesTlsItDidNotOffer) {
  ServerAuthSettings settings;
  CountingRandom random;
  ServerHandshake server(settings, 1, {"h", false}, random);
  std::string out, request;
  server.start(out);
  encode_ssl_request(request, full_response(kClientProtocol41));
  EXPECT_EQ(server.on_message(1, request, out), ServerHandshake::Next::kRefused);
}

TEST(ServerHandshake, AsksForThePluginThatTheClientPrefers) {
  ServerAuthSettings settings;
  settings.provider = &kUsers;
  CountingRandom random;
  ServerHandshake server(settings, 1, {"h", false}, random);
  std::string out, response;
  server.start(out);
  HandshakeResponse login = full_response(ClientAuthSettings().capabilities);
  login.user = "clear";
  login.auth_plugin = kCachingSha2Plugin;
  login.auth_response.clear();
  encode_handshake_response(response, login);
  out.clear();
  ASSERT_EQ(server.on_message(1, response, out), ServerHandshake::Next::kRead);
  const auto request = decode_auth_switch(std::string_view(out).substr(kPacketHeaderSize));
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->plugin, kCachingSha2Plugin);
  EXPECT_EQ(server.on_message(3, sha2_scramble("secret", request->data), out), ServerHandshake::Next::kAccepted);
}

// A request for TLS in every length, in the wrong place, and twice: it is either one or a bad handshake.
TEST(ServerHandshake, TakesOneRequestForTlsInItsPlace) {
  ServerAuthSettings settings;
  settings.tls_available = true;
  settings.require_secure_transport = true;
  HandshakeResponse head = full_response(kClientProtocol41 | kClientSecureConnection | kClientSsl);
  std::string request;
  encode_ssl_request(request, head);
  using Next = ServerHandshake::Next;
  for (size_t size = 0; size < request.size() + 8; ++size) {
    CountingRandom random;
    ServerHandshake server(settings, 1, {"h", false}, random);
    std::string out;
    server.start(out);
    out.clear();
    std::string sent = request;
    sent.resize(size, '\0');
    const Next next = server.on_message(1, sent, out);
    EXPECT_EQ(next, size == request.size() ? Next::kStartTls : Next::kRefused) << size;
    EXPECT_EQ(out.empty(), next == Next::kStartTls) << size;
  }
  CountingRandom random;
  ServerHandshake late(settings, 1, {"h", false}, random);
  std::string out;
  late.start(out);
  EXPECT_EQ(late.on_message(2, request, out), Next::kRefused);
  EXPECT_EQ(late.error().code, errnos::kPacketsOutOfOrder);
  ServerHandshake twice(settings, 1, {"h", false}, random);
  twice.start(out);
  ASSERT_EQ(twice.on_message(1, request, out), Next::kStartTls);
  twice.tls_started();
  EXPECT_EQ(twice.on_message(2, request, out), Next::kRefused);
  EXPECT_EQ(twice.error().code, errnos::kBadHandshake);
}

TEST(ServerHandshake, NeverNegotiatesWhatItCannotSpeak) {
  ServerAuthSettings settings;
  settings.capabilities = ~Capabilities{0};
  CountingRandom random;
  ServerHandshake server(settings, 1, {"h", false}, random);
  std::string out, response;
  server.start(out);
  const auto greeting = decode_handshake_v10(std::string_view(out).substr(kPacketHeaderSize));
  constexpr Capabilities kSpoken = kSupportedCapabilities | kVitrailCallers;
  EXPECT_EQ(greeting->capabilities & ~kSpoken, 0u);
  HandshakeResponse everything = full_response(~Capabilities{0} & 0xffffffff & ~kClientSsl);
  everything.auth_response.clear();
  encode_handshake_response(response, everything);
  EXPECT_EQ(server.on_message(1, response, out), ServerHandshake::Next::kAccepted);
  EXPECT_EQ(server.client().capabilities & ~kSpoken, 0u);
  EXPECT_EQ(server.client().capabilities & kClientCompress, 0u);
}

TEST(ServerHandshake, ChangesTheUserWithANewNonce) {
  ServerAuthSettings settings;
  settings.provider = &kUsers;
  CountingRandom random;
  ServerHandshake server(settings, 1, {"h", false}, random);
  std::string out, response;
  server.start(out);
  const std::string first_nonce = decode_handshake_v10(std::string_view(out).substr(kPacketHeaderSize))->nonce;
  HandshakeResponse login = full_response(ClientAuthSettings().capabilities);
  login.user = "any";
  encode_handshake_response(response, login);
  ASSERT_EQ(server.on_message(1, response, out), ServerHandshake::Next::kAccepted);

  const auto change_to = [&](std::string user, std::string_view password) {
    std::string command;
    encode_change_user(
        command, {user, native_scramble(password, first_nonce), "other", 45, std::string(kNativePasswordPlugin), {}},
        server.client().capabilities);
    out.clear();
    EXPECT_EQ(server.on_change_user(0, command, out), ServerHandshake::Next::kRead);
    const auto request = decode_auth_switch(std::string_view(out).substr(kPacketHeaderSize));
    EXPECT_NE(request->data, first_nonce);
    EXPECT_EQ(decode_packet_header(out.data()).sequence, 1);
    out.clear();
    return server.on_message(2, native_scramble(password, request->data), out);
  };
  EXPECT_EQ(change_to("native", "secret"), ServerHandshake::Next::kAccepted);
  EXPECT_EQ(server.client().user, "native");
  EXPECT_EQ(server.client().database, "other");
  EXPECT_EQ(change_to("native", "wrong"), ServerHandshake::Next::kRefused);
}

TEST(ClientHandshake, ReportsARefusalInPlaceOfTheGreeting) {
  ClientHandshake client({});
  std::string payload, out;
  encode_err(payload, {1040, "", "Too many connections"}, 0);
  EXPECT_EQ(client.on_message(0, payload, out), ClientHandshake::Next::kFailed);
  EXPECT_EQ(client.error().mysql_errno(), 1040);
  EXPECT_EQ(client.error().code(), Code::kResourceExhausted);
}

TEST(ClientHandshake, SaysNothingToSocketPlugins) {
  ClientHandshake client({});
  std::string payload, out;
  HandshakeV10 greeting;
  greeting.nonce = std::string(20, 'n');
  greeting.capabilities = ClientAuthSettings().capabilities;
  encode_handshake_v10(payload, greeting);
  ASSERT_EQ(client.on_message(0, payload, out), ClientHandshake::Next::kRead);
  out.clear();
  payload.clear();
  encode_auth_switch(payload, {"unix_socket", ""});
  EXPECT_EQ(client.on_message(2, payload, out), ClientHandshake::Next::kRead);
  EXPECT_EQ(out, "\x00\x00\x00\x03"s);
  payload.clear();
  encode_auth_switch(payload, {"dialog", ""});
  EXPECT_EQ(client.on_message(4, payload, out), ClientHandshake::Next::kFailed);
  EXPECT_EQ(client.error().mysql_errno(), errnos::kClientAuthPluginError);
}

TEST(ClientHandshake, GivesUpOnAServerThatAsksForever) {
  ClientHandshake client({});
  std::string payload, out;
  HandshakeV10 greeting;
  greeting.nonce = std::string(20, 'n');
  greeting.capabilities = ClientAuthSettings().capabilities;
  encode_handshake_v10(payload, greeting);
  auto next = client.on_message(0, payload, out);
  payload.clear();
  encode_auth_switch(payload, {std::string(kNativePasswordPlugin), std::string(20, 'm')});
  uint8_t sequence = 2;
  for (int i = 0; i < 100 && next == ClientHandshake::Next::kRead; ++i, sequence += 2)
    next = client.on_message(sequence, payload, out);
  EXPECT_EQ(next, ClientHandshake::Next::kFailed);
}

}  // namespace
}  // namespace vitrail::mysql
