#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

// Global transaction ids and replication positions of both server flavors, and of servers without GTIDs.
//
// Two spellings exist for everything here. The *bare* form is the server's own ("0-7-12", "<uuid>:1-5"), which SQL
// and the replication commands use. The *prefixed* form names the flavor ("MariaDB/0-7-12", "MySQL56/<uuid>:1-5",
// "FilePos/bin.000003:4"); it is what position columns, backups and the topology store.
//
// Sources: MariaDB knowledge base, "Global Transaction ID" (meaning of domain, server, sequence; gtid_slave_pos) and
// "GTID_EVENT"; MySQL reference manual, "GTID Format and Storage" (text form of sets) and its internals page on
// COM_BINLOG_DUMP_GTID (binary form of sets); Vitess' stored positions for the prefixes.
//
//   Threads : plain values.
//   Bounds  : parsing and every operation cost time and memory linear in the text or the number of intervals.
namespace vitrail::mysql {

enum class GtidFlavor : uint8_t { kMariadb, kMysql, kFilePos };

// "MariaDB", "MySQL56", "FilePos".
std::string_view gtid_flavor_name(GtidFlavor flavor);

struct MariadbGtid {
  uint32_t domain = 0;
  uint32_t server = 0;
  uint64_t sequence = 0;

  static Result<MariadbGtid> parse(std::string_view text);
  std::string to_string() const;
  friend auto operator<=>(const MariadbGtid&, const MariadbGtid&) = default;
};

// The server_uuid of a MySQL server. Ordered by bytes, which is also the order of the lower-case text.
struct ServerUuid {
  std::array<uint8_t, 16> bytes{};

  // Accepts the dashed form in either case.
  static Result<ServerUuid> parse(std::string_view text);
  std::string to_string() const;  // Lower case, dashed.
  friend auto operator<=>(const ServerUuid&, const ServerUuid&) = default;
};

// Who counts: a server, and on MySQL 8.3 and later one of its tags (gtid_next=AUTOMATIC:tag), each with numbers of its
// own.
struct MysqlGtidSource {
  ServerUuid server;
  std::string tag = {};  // Lower case; at most 32 of a-z, 0-9 and _, not beginning with a digit. Empty: none.

  friend auto operator<=>(const MysqlGtidSource&, const MysqlGtidSource&) = default;
};

struct MysqlGtid {
  ServerUuid server;
  int64_t sequence = 0;  // 1 .. 2^63 - 2.
  std::string tag = {};  // As in MysqlGtidSource.

  static Result<MysqlGtid> parse(std::string_view text);
  std::string to_string() const;
  friend auto operator<=>(const MysqlGtid&, const MysqlGtid&) = default;
};

// A place in a binary log: the offset of the next event to read.
struct FilePosition {
  std::string file;
  uint64_t offset = 0;

  static Result<FilePosition> parse(std::string_view text);
  std::string to_string() const;  // "file:offset".
  friend bool operator==(const FilePosition&, const FilePosition&) = default;
};

// <0, 0, >0 for two places in logs of one server. The number after the last dot counts (bin.999999 < bin.1000000).
// kInvalidArgument when the names before that number differ: the logs are then of different servers.
Result<int> compare_file_positions(const FilePosition& a, const FilePosition& b);

// One transaction id of either flavor.
class Gtid {
 public:
  Gtid(MariadbGtid gtid) : rep_(gtid) {}
  Gtid(MysqlGtid gtid) : rep_(gtid) {}
  Gtid(FilePosition place) : rep_(std::move(place)) {}

  // The prefixed form.
  static Result<Gtid> parse(std::string_view text);
  // The bare form.
  static Result<Gtid> parse_bare(GtidFlavor flavor, std::string_view text);

  GtidFlavor flavor() const { return static_cast<GtidFlavor>(rep_.index()); }
  const MariadbGtid* mariadb() const { return std::get_if<MariadbGtid>(&rep_); }
  const MysqlGtid* mysql() const { return std::get_if<MysqlGtid>(&rep_); }
  const FilePosition* file_position() const { return std::get_if<FilePosition>(&rep_); }

  std::string to_string() const;        // Bare.
  std::string prefixed_string() const;  // "MariaDB/0-1-5".
  friend bool operator==(const Gtid&, const Gtid&) = default;

 private:
  std::variant<MariadbGtid, MysqlGtid, FilePosition> rep_;  // In the order of GtidFlavor.
};

// The last transaction of each MariaDB replication domain. It stands for that transaction and all before it in the
// domain, as gtid_slave_pos does; sequence numbers of one domain grow, whichever server wrote them.
class MariadbGtidSet {
 public:
  // "0-1-5,1-1-7"; white space around commas is accepted, a domain named twice is not.
  static Result<MariadbGtidSet> parse(std::string_view text);

  bool empty() const { return last_.empty(); }
  // Ordered by domain.
  const std::map<uint32_t, MariadbGtid>& domains() const { return last_; }

  bool contains(const MariadbGtid& gtid) const;
  // Every domain of `other` is here with the same or a later sequence number.
  bool at_least(const MariadbGtidSet& other) const;
  // The later sequence number wins; at equal ones the gtid given.
  void add(const MariadbGtid& gtid);
  void merge(const MariadbGtidSet& other);
  // Domains of which this set has transactions that `other` lacks.
  MariadbGtidSet difference(const MariadbGtidSet& other) const;

  std::string to_string() const;
  friend bool operator==(const MariadbGtidSet&, const MariadbGtidSet&) = default;

 private:
  std::map<uint32_t, MariadbGtid> last_;
};

// A set of MySQL transaction ids, as gtid_executed.
class MysqlGtidSet {
 public:
  struct Interval {
    int64_t first;
    int64_t last;  // Inclusive.
    friend bool operator==(const Interval&, const Interval&) = default;
  };
  // Sorted, disjoint and not adjacent.
  using Intervals = std::vector<Interval>;

  // "uuid:1-5:7,uuid2:9" with any white space around commas and colons; empty intervals ("5-3") vanish. A tag is about
  // the numbers behind it: "uuid:1-5:tag:1-2".
  static Result<MysqlGtidSet> parse(std::string_view text);
  // The binary form of COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS_EVENT, without tags or (MySQL 8.3 and later) with them.
  // kUnimplemented for a form of later servers.
  static Result<MysqlGtidSet> parse_binary(std::span<const uint8_t> bytes);

  bool empty() const { return sources_.empty(); }

  bool contains(const MysqlGtid& gtid) const;
  // `other` is a subset of this set.
  bool at_least(const MysqlGtidSet& other) const;
  void add(const MysqlGtid& gtid);
  void merge(const MysqlGtidSet& other);
  MysqlGtidSet difference(const MysqlGtidSet& other) const;

  std::string to_string() const;
  std::vector<uint8_t> to_binary() const;  // Without tags in the form that all servers know.
  friend bool operator==(const MysqlGtidSet&, const MysqlGtidSet&) = default;

 private:
  std::map<MysqlGtidSource, Intervals> sources_;  // No empty interval lists.
};

// How far a reader of some server's binary log has come: nothing yet, or a set of one flavor.
class Position {
 public:
  Position() = default;  // Before everything, of no flavor; compares with positions of every flavor.
  Position(MariadbGtidSet set) : rep_(std::move(set)) {}
  Position(MysqlGtidSet set) : rep_(std::move(set)) {}
  Position(FilePosition place) : rep_(std::move(place)) {}

  // The prefixed form; "" is the empty position, "MySQL56/" an empty set of that flavor.
  static Result<Position> parse(std::string_view text);
  static Result<Position> parse_bare(GtidFlavor flavor, std::string_view text);

  // No transaction is in it.
  bool empty() const;
  std::optional<GtidFlavor> flavor() const;  // None for a default-made position.
  const MariadbGtidSet* mariadb() const { return std::get_if<MariadbGtidSet>(&rep_); }
  const MysqlGtidSet* mysql() const { return std::get_if<MysqlGtidSet>(&rep_); }
  const FilePosition* file_position() const { return std::get_if<FilePosition>(&rep_); }

  // Each of these gives kInvalidArgument when both sides have a flavor and the flavors differ.
  //
  // Everything in `other` is in this position.
  Result<bool> at_least(const Position& other) const;
  Result<bool> contains(const Gtid& gtid) const;
  // At least `other`, and `other` at least this one: the same transactions, whichever server's number MariaDB kept.
  Result<bool> same_transactions(const Position& other) const;
  // An empty position takes the flavor of what is added.
  Status add(const Gtid& gtid);
  Status merge(const Position& other);
  // The transactions of this position that `other` lacks. kInvalidArgument for file positions. For MariaDB the result
  // names each domain that is ahead, with its last transaction.
  Result<Position> difference(const Position& other) const;

  std::string to_string() const;        // Bare.
  std::string prefixed_string() const;  // "" for a position without flavor.
  // Textual identity: empty sets of different flavors differ.
  friend bool operator==(const Position&, const Position&) = default;

 private:
  std::variant<std::monostate, MariadbGtidSet, MysqlGtidSet, FilePosition> rep_;  // GtidFlavor + 1.
};

}  // namespace vitrail::mysql
