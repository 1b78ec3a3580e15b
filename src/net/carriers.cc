#include "net/carriers.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "mysql/stream_offer.h"
#include "net/carrier.h"
#include "net/mysql_client.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

constexpr auto kAskAgain = 30s;      // Whether an older peer has been replaced.
constexpr size_t kCarriersMax = 16;  // Whatever the peer says.

Task<void> serve(std::shared_ptr<Carrier> carrier, std::string where) {
  Status ended = co_await carrier->run();
  if (!ended.ok()) log_warning("{} sent what is no frame: {}", where, ended.error().message());
}

}  // namespace

bool Carriers::enough() const {
  return std::cmp_greater_equal(std::ranges::count_if(carriers_, [](const auto& carrier) { return carrier->usable(); }),
                                wanted_);
}

Carrier* Carriers::least_used() {
  Carrier* least = nullptr;
  for (const auto& carrier : carriers_) {
    if (carrier->usable() && (least == nullptr || carrier->streams() < least->streams())) least = carrier.get();
  }
  return least;
}

Task<Result<std::optional<Carriers::Opened>>> Carriers::open(const MysqlClientSettings& settings, Wait wait) {
  if (!enough()) {
    CO_ASSIGN_OR_RETURN(const auto turn, co_await connecting_.lock(wait));
    // Others may have connected meanwhile, or have been told that there is nothing to be had.
    while (!enough() && base::system_clock().now() >= ask_again_) {
      Status connected = co_await connect(settings, wait);
      if (connected.ok()) continue;
      if (least_used() != nullptr) break;
      co_return std::move(connected).error();
    }
  }
  Carrier* const carrier = least_used();
  if (carrier == nullptr) co_return std::nullopt;
  const uint64_t reads = carrier->reads();
  CO_ASSIGN_OR_RETURN(Socket socket, carrier->open());
  co_return Opened{std::move(socket), carrier->shared_from_this(), reads};
}

// OK without a new one: the peer is older.
Task<Status> Carriers::connect(const MysqlClientSettings& settings, Wait wait) {
  MysqlClientSettings plain = settings;
  plain.carriers = nullptr;
  CO_ASSIGN_OR_RETURN(MysqlClient client, co_await MysqlClient::connect(std::move(plain), wait));
  std::string offer;
  mysql::encode_stream_offer(offer, {.window = kStreamWindow});
  CO_RETURN_IF_ERROR(co_await client.send(offer, wait));
  auto message = co_await client.receive(wait);
  if (!message.ok()) co_return std::move(message).error().with_effect(Effect::kNone);
  if (!mysql::is_ok(message->payload)) {
    ask_again_ = base::system_clock().now() + kAskAgain;
    co_return Status{};
  }
  CO_ASSIGN_OR_RETURN(const mysql::OkPacket ok, mysql::decode_ok(message->payload, client.capabilities()));
  CO_ASSIGN_OR_RETURN(const mysql::StreamAnswer answer, mysql::stream_answer_of(ok));
  client.stream().drop_message();
  if (answer.version != 1 || !stream_window_fits(answer.window) || !client.stream().buffered().empty()) {
    co_return fail(Code::kInternal, "malformed answer of " + settings.address.to_string() + " to an offer of streams");
  }
  wanted_ = std::clamp<size_t>((answer.loops + loops_ - 1) / loops_, 1, kCarriersMax);
  auto carrier = std::make_shared<Carrier>(std::move(client.stream().socket()), answer.window, nullptr, scope_.token());
  carriers_.push_back(carrier);
  scope_.spawn(serve(std::move(carrier), settings.address.to_string()));
  co_return Status{};
}

void Carriers::distrust(const Opened& opened) {
  if (opened.carrier->reads() == opened.reads) opened.carrier->retire();
}

void Carriers::trim() {
  std::vector<const Carrier*> idle;
  std::erase_if(carriers_, [&](const std::shared_ptr<Carrier>& carrier) {
    if (carrier->ended()) return true;
    if (carrier->streams() > 0) return false;
    if (!carrier->usable() || std::ranges::find(idle_, carrier.get()) != idle_.end()) {
      carrier->close();
      return true;
    }
    idle.push_back(carrier.get());
    return false;
  });
  idle_ = std::move(idle);
}

void Carriers::close() {
  for (const auto& carrier : carriers_) carrier->close();
  carriers_.clear();
}

}  // namespace vitrail::net
