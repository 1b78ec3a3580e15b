#include "net/mysql_pool.h"

#include <fmt/core.h>

#include "mysql/errors.h"

namespace vitrail::net {

using mysql::Command;

Task<Result<PooledConnection::Prepared*>> PooledConnection::prepare(const std::string& text, size_t max_prepared,
                                                                    Wait wait) {
  if (auto found = prepared.find(text); found != prepared.end()) {
    prepared_order.splice(prepared_order.end(), prepared_order, found->second.order);
    co_return &found->second;
  }
  std::string payload;
  mysql::encode_stmt_prepare(payload, text);
  CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
  auto answer = co_await client.receive(wait);
  if (!answer.ok()) co_return std::move(answer).error();
  if (mysql::is_err(answer->payload)) {
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(answer->payload));
    if (auto tablet = mysql::decode_tablet_error(err)) co_return std::move(*tablet);
    co_return mysql::from_err_packet(err);
  }
  Prepared entry;
  auto ok = mysql::decode_prepare_ok(answer->payload);
  if (!ok.ok()) {
    client.set_broken();
    co_return std::move(ok).error();
  }
  entry.ok = *ok;
  mysql::PacketWriter writer(entry.definitions, 2);
  const bool with_eof = (client.capabilities() & mysql::kClientDeprecateEof) == 0;
  for (const uint32_t block : {uint32_t{ok->parameters}, uint32_t{ok->columns}}) {
    const uint32_t messages = block == 0 ? 0 : block + (with_eof ? 1 : 0);
    for (uint32_t i = 0; i < messages; ++i) {
      CO_ASSIGN_OR_RETURN(const auto message, co_await client.receive(wait));
      writer.message(message.payload);
    }
  }
  if (prepared.size() >= max_prepared) {
    auto oldest = prepared.find(prepared_order.front());
    payload.clear();
    mysql::encode_stmt_command(payload, Command::kStmtClose, oldest->second.ok.statement_id);
    prepared_order.pop_front();
    prepared.erase(oldest);
    CO_RETURN_IF_ERROR(co_await client.send(payload, wait));
  }
  entry.order = prepared_order.insert(prepared_order.end(), text);
  co_return &prepared.emplace(text, std::move(entry)).first->second;
}

MysqlPool::Lease::Lease(MysqlPool* pool, std::unique_ptr<PooledConnection> connection)
    : pool_(pool), connection_(std::move(connection)) {}

MysqlPool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), connection_(std::move(other.connection_)) {}

MysqlPool::Lease& MysqlPool::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = std::exchange(other.pool_, nullptr);
    connection_ = std::move(other.connection_);
  }
  return *this;
}

void MysqlPool::Lease::release() {
  if (connection_ != nullptr) pool_->give_back(std::move(connection_));
}

void MysqlPool::Lease::discard() {
  if (connection_ == nullptr) return;
  connection_->client.set_broken();
  release();
}

MysqlPool::MysqlPool(MysqlClientSettings settings, Options options)
    : settings_(std::move(settings)), options_(std::move(options)) {}

MysqlPool::~MysqlPool() { close(); }

Task<Result<MysqlPool::Lease>> MysqlPool::acquire(std::string settings, Wait wait) {
  for (;;) {
    if (closed_) co_return fail(Code::kUnavailable, options_.name + ": the pool is closed");
    // The newest idle one with these settings, else the newest of all.
    std::unique_ptr<PooledConnection> found;
    for (size_t i = idle_.size(); i-- > 0 && found == nullptr;) {
      if (idle_[i]->settings != settings) continue;
      found = std::move(idle_[i]);
      idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(i));
    }
    if (found == nullptr && !idle_.empty() && size_ >= options_.max_connections) {
      found = std::move(idle_.back());
      idle_.pop_back();
    }
    if (found != nullptr) {
      if (!found->client.idle_ok()) {  // Closed by the server meanwhile.
        forget();
        continue;
      }
      Lease lease(this, std::move(found));
      if (lease->settings != settings) {
        Status adapted = co_await adapt(*lease, std::move(settings), false, wait);
        if (!adapted.ok()) {
          lease.discard();
          co_return std::move(adapted).error();
        }
      }
      co_return std::move(lease);
    }
    if (size_ < options_.max_connections) co_return co_await fresh(std::move(settings), wait);
    Status turn = co_await waiting_.wait(wait, "wait for a connection");
    if (!turn.ok()) {
      if (turn.error().code() == Code::kCanceled) co_return std::move(turn).error();
      co_return fail(Code::kResourceExhausted, fmt::format("all {} {} are in use, and none came free in time",
                                                           options_.max_connections, options_.name))
          .with_retry(Retry::kSameTarget);
    }
  }
}

Task<Result<MysqlPool::Lease>> MysqlPool::fresh(std::string settings, Wait wait) {
  ++size_;
  Wait limited = wait;
  limited.deadline = std::min(wait.deadline, base::system_clock().now() + options_.connect_timeout);
  auto client = co_await MysqlClient::connect(settings_, limited);
  if (!client.ok()) {
    forget();
    co_return std::move(client).error();
  }
  Lease lease(this, std::make_unique<PooledConnection>(PooledConnection{.client = std::move(*client)}));
  if (!settings.empty() || !options_.setup.empty()) {
    Status adapted = co_await adapt(*lease, std::move(settings), true, wait);
    if (!adapted.ok()) {
      lease.discard();
      co_return std::move(adapted).error();
    }
  }
  co_return std::move(lease);
}

Task<Status> MysqlPool::adapt(PooledConnection& connection, std::string settings, bool fresh, Wait wait) {
  std::string framed;
  size_t answers = 0;
  const bool reset = !connection.settings.empty();
  const auto add_query = [&](const std::string& text) {
    std::string payload;
    mysql::encode_query(payload, text, {}, connection.client.capabilities());
    mysql::PacketWriter(framed).message(payload);
    ++answers;
  };
  if (reset) {
    const char command = static_cast<char>(Command::kResetConnection);
    mysql::PacketWriter(framed).message({&command, 1});
    ++answers;
    connection.prepared.clear();
    connection.prepared_order.clear();
  }
  if ((reset || fresh) && !options_.setup.empty()) add_query(options_.setup);
  if (!settings.empty()) add_query(settings);
  CO_RETURN_IF_ERROR(co_await connection.client.stream().write(framed, wait));
  for (size_t i = 0; i < answers; ++i) {
    CO_ASSIGN_OR_RETURN(const auto message, co_await connection.client.receive(wait));
    if (!mysql::is_err(message.payload)) continue;
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(message.payload));
    if (auto tablet = mysql::decode_tablet_error(err)) co_return std::move(*tablet);
    co_return mysql::from_err_packet(err);
  }
  connection.settings = std::move(settings);
  co_return Status{};
}

void MysqlPool::give_back(std::unique_ptr<PooledConnection> connection) {
  if (closed_ || connection->client.broken()) {
    connection.reset();
    forget();
    return;
  }
  connection->used = base::system_clock().now();
  idle_.push_back(std::move(connection));
  waiting_.wake_one();
}

void MysqlPool::forget() {
  --size_;
  waiting_.wake_one();
}

void MysqlPool::close() {
  closed_ = true;
  size_ -= idle_.size();
  idle_.clear();
  waiting_.wake_all();
}

void MysqlPool::trim() {
  const auto oldest = base::system_clock().now() - options_.idle_timeout;
  size_t stale = 0;
  while (stale < idle_.size() && idle_[stale]->used < oldest) ++stale;
  idle_.erase(idle_.begin(), idle_.begin() + static_cast<ptrdiff_t>(stale));
  size_ -= stale;
}

}  // namespace vitrail::net
