#include "movement/row_stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "mysql/gtid.h"
#include "mysqld/rows.h"

// Why the chunks are exact, and cheap for the source: each is one range of the primary key in one short snapshot, so no
// read view grows old and no table is locked; and flavors know the exact GTID of a snapshot (mysqld/mariadb_flavor.cc).
namespace vitrail::movement {
namespace {

constexpr uint64_t kRowsMax = 100'000;
constexpr size_t kResponseBytes = 256u << 10;
// MariaDB finds the GTID of a snapshot by reading the current log file up to its place: keep that short.
constexpr uint64_t kLogFileMax = 16u << 20;

std::optional<uint64_t> number_option(const ::binlogdata::VStreamRowsRequest& request, const char* name) {
  const auto& options = request.options().config_overrides();
  const auto found = options.find(name);
  if (found == options.end()) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  if (error != std::errc() || *end != 0) return std::nullopt;
  return value;
}

}  // namespace

Status RowStream::set_key(const ::query::QueryResult& from, std::vector<std::string>& key) const {
  if (from.rows_size() == 0) return {};
  if (from.rows_size() != 1) return fail(Code::kInvalidArgument, "lastpk must be one row");
  std::vector<mysql::Cell> cells;
  RETURN_IF_ERROR(read_row(from.rows(0), table_.identity.size(), cells));
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i < static_cast<size_t>(from.fields_size()) &&
        from.fields(static_cast<int>(i)).name() != table_.columns[table_.identity[i]].name) {
      return fail(Code::kFailedPrecondition,
                  fmt::format("the key of table {} has changed since the copy began", table_.name));
    }
    if (!cells[i]) return fail(Code::kInvalidArgument, "lastpk has a NULL");
    key.emplace_back(*cells[i]);
  }
  return {};
}

net::Task<Result<std::unique_ptr<RowStream>>> RowStream::open(RowStreamOptions options,
                                                              ::binlogdata::VStreamRowsRequest request,
                                                              net::Wait wait) {
  std::string name;
  CO_ASSIGN_OR_RETURN(const RowQuery query, parse_row_query(request.query(), name));
  if (name.empty()) co_return fail(Code::kInvalidArgument, fmt::format("\"{}\" is not a select", request.query()));
  std::unique_ptr<ServerSession> session;
  if (options.snapshot != nullptr) {
    session = options.snapshot->take();
  } else {
    CO_ASSIGN_OR_RETURN(session, co_await ServerSession::open(options.login, mysqld::ConnectionPurpose::kCopy, wait));
  }
  CO_ASSIGN_OR_RETURN(TableMap tables, co_await load_tables(*session, options.db_name, name, wait));
  TableSchema table = std::move(tables.begin()->second);
  if (table.identity.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   fmt::format("table {} has neither a primary key nor a unique key without NULLs: it cannot be copied",
                               table.name));
  }
  CO_ASSIGN_OR_RETURN(RowFilter filter, RowFilter::bind(query, table, options.own_keyspace, options.vschema));
  options.vschema = nullptr;
  std::unique_ptr<RowStream> stream(new RowStream(std::move(options), std::move(table), std::move(filter)));
  stream->session_ = std::move(session);
  CO_RETURN_IF_ERROR(stream->set_key(request.lastpk(), stream->last_key_));
  const auto& overrides = request.options().config_overrides();
  if (const auto until = overrides.find(kUntilOption); until != overrides.end()) {
    ::query::QueryResult key;
    CO_RETURN_IF_ERROR(from_text(until->second, key, kUntilOption));
    CO_RETURN_IF_ERROR(stream->set_key(key, stream->until_key_));
  }
  stream->chunk_bytes_ =
      std::clamp<uint64_t>(number_option(request, kChunkBytesOption).value_or(8u << 20), 1u << 10, 64u << 20);
  stream->piece_bytes_ = std::max<uint64_t>(1, number_option(request, kPieceBytesOption).value_or(UINT64_MAX));
  stream->chunks_wanted_ = number_option(request, kChunksOption).value_or(0);

  // What is selected: the columns of the result, then what only the filter needs, then keys with a form of their own.
  const TableSchema& schema = stream->table_;
  std::vector<size_t> columns(stream->filter_.output().begin(), stream->filter_.output().end());
  const auto position = [&columns](size_t column) {
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i] == column) return i;
    }
    columns.push_back(column);
    return columns.size() - 1;
  };
  for (const size_t column : stream->filter_.inputs()) stream->input_positions_.push_back(position(column));
  for (const size_t column : schema.identity) stream->key_positions_.push_back(position(column));
  std::string select = "SELECT ";
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i != 0) select += ", ";
    select += read_expression(schema.columns[columns[i]]);
  }
  stream->selected_ = columns.size();
  for (size_t i = 0; i < schema.identity.size(); ++i) {
    const Column& column = schema.columns[schema.identity[i]];
    if (!has_key_expression(column)) continue;
    select += ", " + key_expression(column);
    stream->key_positions_[i] = stream->selected_++;
  }
  stream->from_ = fmt::format("{}.{} FORCE INDEX ({})", mysqld::quote_identifier(stream->options_.db_name),
                              mysqld::quote_identifier(schema.name), mysqld::quote_identifier(schema.identity_index));
  stream->select_ = fmt::format("{} FROM {}", select, stream->from_);
  if (const auto sum = overrides.find(kSumOption); sum != overrides.end()) {
    CO_RETURN_IF_ERROR(stream->set_sum(sum->second));
  }
  const uint64_t row_bytes =
      schema.row_estimate == 0 ? 1024 : std::max<uint64_t>(16, schema.data_bytes / schema.row_estimate);
  stream->rows_limit_ = std::clamp<uint64_t>(stream->chunk_bytes_ / row_bytes, 1, 20'000);
  co_return std::move(stream);
}

Status RowStream::set_sum(std::string_view option) {
  const size_t colon = option.find(':');
  const auto kind = parse_hash(option.substr(0, colon));
  const auto rows = colon == std::string_view::npos ? std::nullopt : mysqld::to_uint(option.substr(colon + 1));
  if (!kind || !rows || *rows == 0 || !has_hash(session_->flavor().server(), *kind)) {
    return fail(Code::kUnimplemented, fmt::format("the source has no sums \"{}\"", option));
  }
  auto expression = hash_expression(*kind, table_, filter_.output());
  if (!expression) {
    return fail(Code::kUnimplemented, fmt::format("rows of table {} cannot be summed up", table_.name));
  }
  sum_hash_ = std::move(*expression);
  sum_rows_ = *rows;
  return {};
}

std::string RowStream::where_text() const { return interval_condition(table_, last_key_, until_key_); }

std::string RowStream::select_text() const {
  const std::string where = where_text();
  return fmt::format("{}{}{} ORDER BY {} LIMIT {}", select_, where.empty() ? "" : " WHERE ", where,
                     identity_order(table_), rows_limit_);
}

void RowStream::add_fields(::binlogdata::VStreamRowsResponse& response) const {
  for (size_t i = 0; i < filter_.output().size(); ++i) {
    ::query::Field field = to_field(table_.columns[filter_.output()[i]], table_.name, options_.db_name);
    field.set_name(filter_.output_names()[i]);
    *response.add_fields() = std::move(field);
  }
  for (const size_t column : table_.identity) {
    ::query::Field field = to_field(table_.columns[column], table_.name, options_.db_name);
    if (has_key_expression(table_.columns[column])) field.set_type(::query::UINT64);
    *response.add_pkfields() = std::move(field);
  }
}

RowStream::~RowStream() {
  if (options_.snapshot != nullptr && !reading_) options_.snapshot->give_back(std::move(session_));
}

net::Task<void> RowStream::trim_log(net::Wait wait) {
  if (options_.snapshot != nullptr) co_return;
  if (session_->flavor().kind() != mysqld::FlavorKind::kMariaDb) co_return;
  auto file = co_await session_->rows(session_->flavor().binlog_file_query(), wait);
  mysqld::ServerSettings settings;
  if (!file.ok() || !session_->flavor().parse_binlog_file(*file, settings).has_value()) co_return;
  if (settings.binlog_position < kLogFileMax) co_return;
  // Not written into the log itself: a replica may do it too. Without the privilege the copy is only slower.
  (void)co_await session_->query("FLUSH LOCAL BINARY LOGS", wait);
}

net::Task<Result<std::string>> RowStream::begin_snapshot(net::Wait wait) {
  reading_ = true;
  if (options_.snapshot != nullptr) co_return options_.snapshot->position();
  std::vector<std::string> names = {
      fmt::format("{}.{}", mysqld::quote_identifier(options_.db_name), mysqld::quote_identifier(table_.name))};
  CO_ASSIGN_OR_RETURN(const mysql::Position position,
                      co_await movement::begin_snapshot(*session_, lock_session_, options_.login, names, wait));
  co_return position.prefixed_string();
}

net::Task<Status> RowStream::end_snapshot(net::Wait wait) {
  if (options_.snapshot == nullptr) CO_RETURN_IF_ERROR(co_await session_->run({"ROLLBACK"}, wait));
  reading_ = false;
  co_return Status{};
}

std::string RowStream::share_key() const {
  std::string key = fmt::format("{}\n{}\n{}\n{}", select_, chunk_bytes_, piece_bytes_, rows_limit_);
  for (const auto& part : last_key_) key += fmt::format("\n{}:{}", part.size(), part);
  for (const auto& part : until_key_) key += fmt::format("\nuntil {}:{}", part.size(), part);
  // What is read in a held snapshot is of no use to others.
  if (options_.snapshot != nullptr) key += fmt::format("\nsnapshot of {}", static_cast<const void*>(this));
  return key;
}

// One stream's part of the rows that are read.
struct RowStream::Filling {
  RowStream& stream;
  RowChunk chunk;
  const std::vector<std::string>& key;  // Of the row that is being looked at.
  size_t response_bytes = 0;
  uint64_t piece_bytes = 0;
  std::vector<mysql::Cell> inputs = std::vector<mysql::Cell>(stream.input_positions_.size());
  std::optional<Error> error;
};

void RowStream::fill(Filling& filling, std::span<const mysql::Cell> cells) const {
  if (filling.error) return;
  if (!filter_.passes_all()) {
    for (size_t i = 0; i < filling.inputs.size(); ++i) filling.inputs[i] = cells[input_positions_[i]];
    auto matches = filter_.matches(filling.inputs);
    if (!matches.ok()) {
      filling.error = std::move(matches).error();
      return;
    }
    if (!*matches) return;
  }
  const size_t outputs = filter_.output().size();
  auto& responses = filling.chunk.responses;
  size_t size = 0;
  for (size_t i = 0; i < outputs; ++i) size += cells[i] ? cells[i]->size() : 0;
  if (filling.piece_bytes >= piece_bytes_) {
    // The piece before ended with its last row, which has left its key.
    const std::string gtid = responses.front().gtid();
    responses.emplace_back().set_gtid(gtid);
    filling.response_bytes = 0;
    filling.piece_bytes = 0;
  } else if (filling.response_bytes != 0 && filling.response_bytes + size > kResponseBytes) {
    responses.emplace_back();
    filling.response_bytes = 0;
  }
  ::query::Row* row = responses.back().add_rows();
  row->mutable_lengths()->Reserve(static_cast<int>(outputs));
  std::string& values = *row->mutable_values();
  values.reserve(size);
  for (size_t i = 0; i < outputs; ++i) {
    if (cells[i]) {
      row->add_lengths(static_cast<int64_t>(cells[i]->size()));
      values.append(*cells[i]);
    } else {
      row->add_lengths(-1);
    }
  }
  filling.response_bytes += size + 2 * outputs + 8;
  filling.piece_bytes += size + 2 * outputs + 8;
  if (filling.piece_bytes >= piece_bytes_) {
    ::query::Row& key = *responses.back().mutable_lastpk();
    for (const std::string& part : filling.key) append_cell(key, part);
  }
}

net::Task<Result<RowChunk>> RowStream::read_chunk(net::Wait wait) {
  // Lent for as long as this takes.
  std::vector<std::shared_ptr<RowStream>> self;
  self.emplace_back(std::shared_ptr<RowStream>(), this);
  CO_ASSIGN_OR_RETURN(auto chunks, co_await read_chunks(std::move(self), std::move(wait)));
  co_return std::move(chunks.front());
}

net::Task<Result<std::vector<Result<RowChunk>>>> RowStream::read_chunks(std::vector<std::shared_ptr<RowStream>> streams,
                                                                        net::Wait wait) {
  RowStream& reader = *streams.front();
  co_await reader.trim_log(wait);
  CO_ASSIGN_OR_RETURN(const std::string gtid, co_await reader.begin_snapshot(wait));
  auto columns = co_await reader.session_->client().query_stream(reader.select_text(), wait);
  if (!columns.ok()) co_return std::move(columns).error();
  if (columns->size() != reader.selected_) {
    co_return fail(Code::kInternal, "the server gave other columns than asked for");
  }
  struct State {
    RowStream& reader;
    std::vector<std::string> key;
    std::vector<Filling> fillings;
    uint64_t scanned = 0;
    uint64_t bytes = 0;
    bool full = false;
  } state{reader, std::vector<std::string>(reader.key_positions_.size()), {}};
  state.fillings.reserve(streams.size());
  for (const auto& stream : streams) {
    Filling& filling = state.fillings.emplace_back(Filling{*stream, {}, state.key});
    auto& response = filling.chunk.responses.emplace_back();
    response.set_gtid(gtid);
    if (!stream->fields_sent_) stream->add_fields(response);
  }
  const auto on_row = [&state](std::span<const mysql::Cell> cells) {
    if (state.full) return;
    ++state.scanned;
    for (const auto& cell : cells) state.bytes += cell ? cell->size() + 2 : 1;
    for (size_t i = 0; i < state.key.size(); ++i) {
      state.key[i].assign(cells[state.reader.key_positions_[i]].value_or(""));
    }
    // Rows much larger than the estimate: what is left of this result is read again by the next chunk.
    if (state.bytes > 4 * state.reader.chunk_bytes_) state.full = true;
    for (Filling& filling : state.fillings) filling.stream.fill(filling, cells);
  };
  for (;;) {
    CO_ASSIGN_OR_RETURN(const bool more, co_await reader.session_->client().next_rows(on_row, wait));
    if (!more) break;
  }
  CO_RETURN_IF_ERROR(co_await reader.end_snapshot(wait));

  std::vector<Result<RowChunk>> out;
  const uint64_t row_bytes = state.scanned == 0 ? 1 : std::max<uint64_t>(1, state.bytes / state.scanned);
  const bool last = !state.full && state.scanned < reader.rows_limit_;
  for (Filling& filling : state.fillings) {
    if (filling.error) {
      out.emplace_back(std::move(*filling.error));
      continue;
    }
    RowStream& stream = filling.stream;
    RowChunk& chunk = filling.chunk;
    stream.fields_sent_ = true;
    chunk.last = last;
    if (&filling == &state.fillings.front()) chunk.read = state.scanned;
    if (state.scanned != 0) {
      stream.last_key_ = state.key;
      ::query::Row* key = chunk.responses.back().mutable_lastpk();
      key->Clear();
      for (const std::string& part : stream.last_key_) append_cell(*key, part);
      stream.rows_limit_ = std::clamp<uint64_t>(stream.chunk_bytes_ / row_bytes, 1, kRowsMax);
    }
    out.emplace_back(std::move(chunk));
  }
  co_return std::move(out);
}

net::Task<Result<::binlogdata::VStreamRowsResponse>> RowStream::begin_sum(net::Wait wait) {
  co_await trim_log(wait);
  ::binlogdata::VStreamRowsResponse response;
  response.set_throttled(true);
  response.set_throttled_reason(kIntervalSum);
  CO_ASSIGN_OR_RETURN(std::string gtid, co_await begin_snapshot(wait));
  response.set_gtid(std::move(gtid));
  add_fields(response);
  CO_ASSIGN_OR_RETURN(auto bound,
                      co_await find_bound(*session_, table_, from_, last_key_, until_key_, sum_rows_, wait));
  if (!bound.empty()) {
    for (const std::string& part : bound) append_cell(*response.mutable_lastpk(), part);
    until_key_ = std::move(bound);
  }
  co_return std::move(response);
}

net::Task<Result<IntervalSum>> RowStream::read_sum(net::Wait wait) {
  IntervalSum sum;
  if (filter_.passes_all()) {
    CO_ASSIGN_OR_RETURN(const mysqld::Rows rows,
                        co_await session_->rows(sum_query(sum_hash_, from_, where_text()), wait));
    CO_ASSIGN_OR_RETURN(sum, movement::read_sum(rows));
  } else {
    // Which rows belong to the stream only this side knows: the server gives what decides it, and each row's hash.
    std::string list;
    for (const size_t column : filter_.inputs()) list += read_expression(table_.columns[column]) + ", ";
    const std::string where = where_text();
    auto columns = co_await session_->client().query_stream(
        fmt::format("SELECT {}{} FROM {}{}{}", list, sum_hash_, from_, where.empty() ? "" : " WHERE ", where), wait);
    if (!columns.ok()) co_return std::move(columns).error();
    const size_t inputs = filter_.inputs().size();
    std::optional<Error> error;
    const auto on_row = [&](std::span<const mysql::Cell> cells) {
      if (error) return;
      auto matches = filter_.matches(cells.first(inputs));
      if (!matches.ok()) {
        error = std::move(matches).error();
        return;
      }
      if (!*matches) return;
      const auto hash = mysqld::to_uint(cells[inputs]);
      if (hash) return sum.add(*hash);
      error = fail(Code::kInternal, "the server gave something else than the hash of a row");
    };
    for (bool more = true; more;) {
      CO_ASSIGN_OR_RETURN(more, co_await session_->client().next_rows(on_row, wait));
    }
    if (error) co_return std::move(*error);
  }
  CO_RETURN_IF_ERROR(co_await end_snapshot(wait));
  co_return sum;
}

}  // namespace vitrail::movement
