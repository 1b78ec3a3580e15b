#include "mysql/gtid.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace vitrail::mysql {
namespace {

constexpr uint64_t kTaggedForm = 1;  // Of binary sets.
constexpr int64_t kSequenceMax = std::numeric_limits<int64_t>::max() - 1;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the text up to the next `separator` off `rest`; false when nothing is left.
bool take(std::string_view& rest, char separator, bool& done, std::string_view& piece) {
  if (done) return false;
  const size_t at = rest.find(separator);
  piece = trim(rest.substr(0, at));
  done = at == std::string_view::npos;
  rest.remove_prefix(done ? rest.size() : at + 1);
  return true;
}

template <typename Int>
bool parse_number(std::string_view text, Int& out) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Text from outside, cut so that a message stays short.
std::string shown(std::string_view text) {
  constexpr size_t kShownMax = 80;
  if (text.size() <= kShownMax) return std::string(text);
  return std::string(text.substr(0, kShownMax)) + "...";
}

Error malformed(std::string_view what, std::string_view text, std::string_view expected) {
  return fail(Code::kInvalidArgument, fmt::format("'{}' is not a {}: expected {}", shown(text), what, expected));
}

Error incomparable(GtidFlavor a, GtidFlavor b) {
  return fail(Code::kInvalidArgument, fmt::format("positions of flavors {} and {} cannot be compared",
                                                  gtid_flavor_name(a), gtid_flavor_name(b)));
}

// Splits "MariaDB/0-1-5". Older stored positions may name MySQL's flavor differently; only these three exist today.
Result<GtidFlavor> take_prefix(std::string_view& text) {
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view name = text.substr(0, slash);
    for (const GtidFlavor flavor : {GtidFlavor::kMariadb, GtidFlavor::kMysql, GtidFlavor::kFilePos}) {
      if (name != gtid_flavor_name(flavor)) continue;
      text.remove_prefix(slash + 1);
      return flavor;
    }
  }
  return malformed("position", text, "MariaDB/..., MySQL56/... or FilePos/...");
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Inserts [first, last] and joins what touches it.
void add_interval(MysqlGtidSet::Intervals& list, int64_t first, int64_t last) {
  // The first interval that ends at or after first - 1, and the first that begins after last + 1.
  auto begin = std::lower_bound(list.begin(), list.end(), first,
                                [](const MysqlGtidSet::Interval& i, int64_t value) { return i.last < value - 1; });
  auto end = std::upper_bound(begin, list.end(), last,
                              [](int64_t value, const MysqlGtidSet::Interval& i) { return value < i.first - 1; });
  if (begin == end) {
    list.insert(begin, {first, last});
    return;
  }
  begin->first = std::min(begin->first, first);
  begin->last = std::max(last, (end - 1)->last);
  list.erase(begin + 1, end);
}

// Sorts and joins in one pass, so that a list given in any order costs n log n.
void normalize(MysqlGtidSet::Intervals& list) {
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    if (kept > 0 && list[i].first - 1 <= list[kept - 1].last) {
      list[kept - 1].last = std::max(list[kept - 1].last, list[i].last);
    } else {
      list[kept++] = list[i];
    }
  }
  list.resize(kept);
}

constexpr size_t kTagMax = 32;

bool looks_like_tag(std::string_view text) {
  return !text.empty() && (text.front() == '_' || (text.front() >= 'a' && text.front() <= 'z') ||
                           (text.front() >= 'A' && text.front() <= 'Z'));
}

// In lower case, as servers keep tags. False for what is none.
bool read_tag(std::string_view text, std::string& tag) {
  if (!looks_like_tag(text) || text.size() > kTagMax) return false;
  tag.clear();
  for (char c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    if (c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9')) return false;
    tag += c;
  }
  return true;
}

uint64_t read_u64(const uint8_t* p) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | p[i];
  return value;
}

void write_u64(std::vector<uint8_t>& out, uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) out.push_back(static_cast<uint8_t>(value));
}

}  // namespace

std::string_view gtid_flavor_name(GtidFlavor flavor) {
  switch (flavor) {
    case GtidFlavor::kMariadb: return "MariaDB";
    case GtidFlavor::kMysql: return "MySQL56";
    case GtidFlavor::kFilePos: return "FilePos";
  }
  return "unknown";
}

// --- one id -------------------------------------------------------------------------------------------------------

Result<MariadbGtid> MariadbGtid::parse(std::string_view text) {
  MariadbGtid gtid;
  const size_t dash = text.find('-');
  const size_t dash2 = dash == std::string_view::npos ? dash : text.find('-', dash + 1);
  if (dash2 == std::string_view::npos || !parse_number(text.substr(0, dash), gtid.domain) ||
      !parse_number(text.substr(dash + 1, dash2 - dash - 1), gtid.server) ||
      !parse_number(text.substr(dash2 + 1), gtid.sequence)) {
    return malformed("MariaDB GTID", text, "domain-server-sequence");
  }
  return gtid;
}

std::string MariadbGtid::to_string() const { return fmt::format("{}-{}-{}", domain, server, sequence); }

Result<ServerUuid> ServerUuid::parse(std::string_view text) {
  ServerUuid uuid;
  size_t digits = 0;
  bool good = text.size() == 36;
  for (size_t i = 0; good && i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      good = text[i] == '-';
      continue;
    }
    const int digit = hex_digit(text[i]);
    good = digit >= 0;
    uuid.bytes[digits / 2] = static_cast<uint8_t>(uuid.bytes[digits / 2] << 4 | (digit & 15));
    ++digits;
  }
  if (!good) return malformed("server UUID", text, "32 hexadecimal digits with dashes");
  return uuid;
}

std::string ServerUuid::to_string() const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[bytes[i] >> 4];
    text += kHex[bytes[i] & 15];
  }
  return text;
}

Result<MysqlGtid> MysqlGtid::parse(std::string_view text) {
  MysqlGtid gtid;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return malformed("MySQL GTID", text, "uuid:sequence");
  ASSIGN_OR_RETURN(gtid.server, ServerUuid::parse(trim(text.substr(0, colon))));
  std::string_view rest = trim(text.substr(colon + 1));
  if (looks_like_tag(rest)) {
    const size_t end = rest.find(':');
    if (end == std::string_view::npos || !read_tag(trim(rest.substr(0, end)), gtid.tag)) {
      return malformed("MySQL GTID", text, "uuid:tag:sequence");
    }
    rest = trim(rest.substr(end + 1));
  }
  if (!parse_number(rest, gtid.sequence) || gtid.sequence < 1 || gtid.sequence > kSequenceMax) {
    return malformed("MySQL GTID", text, "uuid:sequence with a sequence number from 1 on");
  }
  return gtid;
}

std::string MysqlGtid::to_string() const {
  return tag.empty() ? fmt::format("{}:{}", server.to_string(), sequence)
                     : fmt::format("{}:{}:{}", server.to_string(), tag, sequence);
}

Result<FilePosition> FilePosition::parse(std::string_view text) {
  FilePosition place;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || !parse_number(text.substr(colon + 1), place.offset)) {
    return malformed("binary log position", text, "file:offset");
  }
  place.file = text.substr(0, colon);
  return place;
}

std::string FilePosition::to_string() const { return fmt::format("{}:{}", file, offset); }

Result<int> compare_file_positions(const FilePosition& a, const FilePosition& b) {
  if (a.file == b.file) return a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0;
  const size_t dot_a = a.file.rfind('.');
  const size_t dot_b = b.file.rfind('.');
  uint64_t number_a = 0;
  uint64_t number_b = 0;
  if (dot_a == std::string::npos || dot_b == std::string::npos || a.file.compare(0, dot_a, b.file, 0, dot_b) != 0 ||
      !parse_number(std::string_view(a.file).substr(dot_a + 1), number_a) ||
      !parse_number(std::string_view(b.file).substr(dot_b + 1), number_b) || number_a == number_b) {
    return fail(Code::kInvalidArgument,
                fmt::format("binary logs '{}' and '{}' are not of one server", shown(a.file), shown(b.file)));
  }
  return number_a < number_b ? -1 : 1;
}

Result<Gtid> Gtid::parse(std::string_view text) {
  ASSIGN_OR_RETURN(const GtidFlavor flavor, take_prefix(text));
  return parse_bare(flavor, text);
}

Result<Gtid> Gtid::parse_bare(GtidFlavor flavor, std::string_view text) {
  switch (flavor) {
    case GtidFlavor::kMariadb: {
      ASSIGN_OR_RETURN(MariadbGtid gtid, MariadbGtid::parse(text));
      return Gtid(gtid);
    }
    case GtidFlavor::kMysql: {
      ASSIGN_OR_RETURN(MysqlGtid gtid, MysqlGtid::parse(text));
      return Gtid(gtid);
    }
    case GtidFlavor::kFilePos: {
      ASSIGN_OR_RETURN(FilePosition place, FilePosition::parse(text));
      return Gtid(std::move(place));
    }
  }
  return fail(Code::kInvalidArgument, "unknown GTID flavor");
}

std::string Gtid::to_string() const {
  return std::visit([](const auto& gtid) { return gtid.to_string(); }, rep_);
}

std::string Gtid::prefixed_string() const { return fmt::format("{}/{}", gtid_flavor_name(flavor()), to_string()); }

// --- MariaDB sets -------------------------------------------------------------------------------------------------

Result<MariadbGtidSet> MariadbGtidSet::parse(std::string_view text) {
  MariadbGtidSet set;
  std::string_view rest = trim(text);
  bool done = rest.empty();
  std::string_view piece;
  while (take(rest, ',', done, piece)) {
    ASSIGN_OR_RETURN(const MariadbGtid gtid, MariadbGtid::parse(piece));
    if (!set.last_.emplace(gtid.domain, gtid).second) {
      return malformed("MariaDB GTID position", text, "each domain once");
    }
  }
  return set;
}

bool MariadbGtidSet::contains(const MariadbGtid& gtid) const {
  const auto found = last_.find(gtid.domain);
  return found != last_.end() && gtid.sequence <= found->second.sequence;
}

bool MariadbGtidSet::at_least(const MariadbGtidSet& other) const {
  return std::all_of(other.last_.begin(), other.last_.end(), [&](const auto& entry) { return contains(entry.second); });
}

void MariadbGtidSet::add(const MariadbGtid& gtid) {
  const auto [entry, inserted] = last_.emplace(gtid.domain, gtid);
  if (!inserted && entry->second.sequence <= gtid.sequence) entry->second = gtid;
}

void MariadbGtidSet::merge(const MariadbGtidSet& other) {
  for (const auto& [domain, gtid] : other.last_) {
    const auto [entry, inserted] = last_.emplace(domain, gtid);
    if (!inserted && entry->second.sequence < gtid.sequence) entry->second = gtid;
  }
}

MariadbGtidSet MariadbGtidSet::difference(const MariadbGtidSet& other) const {
  MariadbGtidSet ahead;
  for (const auto& entry : last_) {
    if (!other.contains(entry.second)) ahead.last_.insert(entry);
  }
  return ahead;
}

std::string MariadbGtidSet::to_string() const {
  std::string text;
  for (const auto& [domain, gtid] : last_) {
    if (!text.empty()) text += ',';
    text += gtid.to_string();
  }
  return text;
}

// --- MySQL sets ---------------------------------------------------------------------------------------------------

Result<MysqlGtidSet> MysqlGtidSet::parse(std::string_view text) {
  MysqlGtidSet set;
  std::string_view rest = trim(text);
  bool done = rest.empty();
  std::string_view entry;
  while (take(rest, ',', done, entry)) {
    if (entry.empty()) continue;  // The server accepts, and old versions printed, empty entries.
    bool entry_done = false;
    std::string_view piece;
    take(entry, ':', entry_done, piece);
    ASSIGN_OR_RETURN(const ServerUuid uuid, ServerUuid::parse(piece));
    if (entry_done) return malformed("MySQL GTID set", text, "uuid:first-last[:first-last...][,...]");
    MysqlGtidSource source{uuid};
    Intervals* list = &set.sources_[source];
    bool numbers = true;  // Since the tag.
    while (take(entry, ':', entry_done, piece)) {
      if (looks_like_tag(piece)) {
        if (!numbers || !read_tag(piece, source.tag)) {
          return malformed("MySQL GTID set", text, "uuid:tag:first-last with a tag of letters, digits and _");
        }
        list = &set.sources_[source];
        numbers = false;
        continue;
      }
      numbers = true;
      const size_t dash = piece.find('-');
      Interval interval{};
      bool good = parse_number(trim(piece.substr(0, dash)), interval.first);
      interval.last = interval.first;
      if (dash != std::string_view::npos) good = good && parse_number(trim(piece.substr(dash + 1)), interval.last);
      if (!good || interval.first < 1 || interval.last > kSequenceMax) {
        return malformed("MySQL GTID set", text, "uuid:first-last[:first-last...][,...] with numbers from 1 on");
      }
      if (interval.first <= interval.last) list->push_back(interval);
    }
    if (!numbers) return malformed("MySQL GTID set", text, "numbers behind each tag");
  }
  std::erase_if(set.sources_, [](const auto& source) { return source.second.empty(); });
  for (auto& [source, list] : set.sources_) normalize(list);
  return set;
}

Result<MysqlGtidSet> MysqlGtidSet::parse_binary(std::span<const uint8_t> bytes) {
  const auto truncated = [] { return fail(Code::kInvalidArgument, "a binary MySQL GTID set is cut short"); };
  MysqlGtidSet set;
  if (bytes.size() < 8) return truncated();
  uint64_t sources = read_u64(bytes.data());
  // With tags the highest and the lowest byte are 1, and the count is between them.
  const bool tagged = sources >> 56 != 0;
  if (tagged) {
    if (sources >> 56 != kTaggedForm || (sources & 0xff) != kTaggedForm) {
      return fail(Code::kUnimplemented, "a binary MySQL GTID set of an unknown form");
    }
    sources = (sources & 0x00ff'ffff'ffff'ffff) >> 8;
  }
  size_t at = 8;
  for (; sources > 0; --sources) {
    if (bytes.size() - at < 16) return truncated();
    MysqlGtidSource source;
    std::copy_n(bytes.data() + at, 16, source.server.bytes.begin());
    at += 16;
    if (tagged) {
      if (at == bytes.size()) return truncated();
      const size_t size = bytes[at++] / 2;  // Twice the size, in one byte: what is longer is no tag.
      if (bytes.size() - at < size) return truncated();
      const std::string_view tag(reinterpret_cast<const char*>(bytes.data()) + at, size);
      if ((bytes[at - 1] & 1) != 0 || (size != 0 && !read_tag(tag, source.tag))) {
        return fail(Code::kInvalidArgument, "a binary MySQL GTID set has an impossible tag");
      }
      at += size;
    }
    if (bytes.size() - at < 8) return truncated();
    uint64_t intervals = read_u64(bytes.data() + at);
    at += 8;
    if (intervals > (bytes.size() - at) / 16) return truncated();
    if (intervals == 0) continue;
    Intervals& list = set.sources_[source];
    for (; intervals > 0; --intervals, at += 16) {
      const uint64_t first = read_u64(bytes.data() + at);
      const uint64_t end = read_u64(bytes.data() + at + 8);  // Exclusive.
      if (first < 1 || end <= first || end - 1 > static_cast<uint64_t>(kSequenceMax)) {
        return fail(Code::kInvalidArgument, "a binary MySQL GTID set has an impossible interval");
      }
      list.push_back({static_cast<int64_t>(first), static_cast<int64_t>(end - 1)});
    }
  }
  if (at != bytes.size()) return fail(Code::kInvalidArgument, "a binary MySQL GTID set has bytes behind its end");
  for (auto& [source, list] : set.sources_) normalize(list);
  return set;
}

bool MysqlGtidSet::contains(const MysqlGtid& gtid) const {
  const auto found = sources_.find({gtid.server, gtid.tag});
  if (found == sources_.end()) return false;
  const auto at = std::lower_bound(found->second.begin(), found->second.end(), gtid.sequence,
                                   [](const Interval& i, int64_t value) { return i.last < value; });
  return at != found->second.end() && at->first <= gtid.sequence;
}

bool MysqlGtidSet::at_least(const MysqlGtidSet& other) const {
  for (const auto& [source, wanted] : other.sources_) {
    const auto found = sources_.find(source);
    if (found == sources_.end()) return false;
    auto have = found->second.begin();
    for (const Interval& interval : wanted) {
      while (have != found->second.end() && have->last < interval.first) ++have;
      if (have == found->second.end() || interval.first < have->first || have->last < interval.last) return false;
    }
  }
  return true;
}

void MysqlGtidSet::add(const MysqlGtid& gtid) {
  add_interval(sources_[{gtid.server, gtid.tag}], gtid.sequence, gtid.sequence);
}

void MysqlGtidSet::merge(const MysqlGtidSet& other) {
  for (const auto& [source, list] : other.sources_) {
    Intervals& mine = sources_[source];
    mine.insert(mine.end(), list.begin(), list.end());
    normalize(mine);
  }
}

MysqlGtidSet MysqlGtidSet::difference(const MysqlGtidSet& other) const {
  MysqlGtidSet rest;
  for (const auto& [source, list] : sources_) {
    const auto found = other.sources_.find(source);
    if (found == other.sources_.end()) {
      rest.sources_.emplace(source, list);
      continue;
    }
    Intervals left;
    auto gone = found->second.begin();
    for (const Interval& interval : list) {
      int64_t first = interval.first;
      while (gone != found->second.end() && gone->last < first) ++gone;
      for (auto cut = gone; cut != found->second.end() && cut->first <= interval.last && first <= interval.last;
           ++cut) {
        if (first < cut->first) left.push_back({first, cut->first - 1});
        first = cut->last + 1;
        gone = cut;
      }
      if (first <= interval.last) left.push_back({first, interval.last});
    }
    if (!left.empty()) rest.sources_.emplace(source, std::move(left));
  }
  return rest;
}

std::string MysqlGtidSet::to_string() const {
  std::string text;
  const ServerUuid* server = nullptr;  // Its tags are in one entry.
  for (const auto& [source, list] : sources_) {
    if (server == nullptr || *server != source.server) {
      if (!text.empty()) text += ',';
      text += source.server.to_string();
      server = &source.server;
    }
    if (!source.tag.empty()) text.append(":").append(source.tag);
    for (const Interval& interval : list) {
      text += interval.first == interval.last ? fmt::format(":{}", interval.first)
                                              : fmt::format(":{}-{}", interval.first, interval.last);
    }
  }
  return text;
}

std::vector<uint8_t> MysqlGtidSet::to_binary() const {
  std::vector<uint8_t> out;
  const bool tagged = std::ranges::any_of(sources_, [](const auto& source) { return !source.first.tag.empty(); });
  write_u64(out, tagged ? kTaggedForm << 56 | uint64_t{sources_.size()} << 8 | kTaggedForm : sources_.size());
  for (const auto& [source, list] : sources_) {
    out.insert(out.end(), source.server.bytes.begin(), source.server.bytes.end());
    if (tagged) {
      out.push_back(static_cast<uint8_t>(source.tag.size() * 2));
      out.insert(out.end(), source.tag.begin(), source.tag.end());
    }
    write_u64(out, list.size());
    for (const Interval& interval : list) {
      write_u64(out, static_cast<uint64_t>(interval.first));
      write_u64(out, static_cast<uint64_t>(interval.last) + 1);
    }
  }
  return out;
}

// --- positions ----------------------------------------------------------------------------------------------------

Result<Position> Position::parse(std::string_view text) {
  text = trim(text);
  if (text.empty()) return Position();
  ASSIGN_OR_RETURN(const GtidFlavor flavor, take_prefix(text));
  return parse_bare(flavor, text);
}

Result<Position> Position::parse_bare(GtidFlavor flavor, std::string_view text) {
  switch (flavor) {
    case GtidFlavor::kMariadb: {
      ASSIGN_OR_RETURN(MariadbGtidSet set, MariadbGtidSet::parse(text));
      return Position(std::move(set));
    }
    case GtidFlavor::kMysql: {
      ASSIGN_OR_RETURN(MysqlGtidSet set, MysqlGtidSet::parse(text));
      return Position(std::move(set));
    }
    case GtidFlavor::kFilePos: {
      ASSIGN_OR_RETURN(FilePosition place, FilePosition::parse(trim(text)));
      return Position(std::move(place));
    }
  }
  return fail(Code::kInvalidArgument, "unknown GTID flavor");
}

bool Position::empty() const {
  if (const auto* set = mariadb()) return set->empty();
  if (const auto* set = mysql()) return set->empty();
  return file_position() == nullptr;
}

std::optional<GtidFlavor> Position::flavor() const {
  if (rep_.index() == 0) return std::nullopt;
  return static_cast<GtidFlavor>(rep_.index() - 1);
}

Result<bool> Position::at_least(const Position& other) const {
  if (!other.flavor()) return true;
  if (!flavor()) return other.empty();
  if (rep_.index() != other.rep_.index()) return incomparable(*flavor(), *other.flavor());
  if (mariadb() != nullptr) return mariadb()->at_least(*other.mariadb());
  if (mysql() != nullptr) return mysql()->at_least(*other.mysql());
  ASSIGN_OR_RETURN(const int order, compare_file_positions(*file_position(), *other.file_position()));
  return order >= 0;
}

Result<bool> Position::contains(const Gtid& gtid) const {
  if (!flavor()) return false;
  if (flavor() != gtid.flavor()) return incomparable(*flavor(), gtid.flavor());
  if (mariadb() != nullptr) return mariadb()->contains(*gtid.mariadb());
  if (mysql() != nullptr) return mysql()->contains(*gtid.mysql());
  ASSIGN_OR_RETURN(const int order, compare_file_positions(*file_position(), *gtid.file_position()));
  return order >= 0;
}

Result<bool> Position::same_transactions(const Position& other) const {
  ASSIGN_OR_RETURN(const bool ahead, at_least(other));
  if (!ahead) return false;
  return other.at_least(*this);
}

Status Position::add(const Gtid& gtid) {
  if (flavor() && flavor() != gtid.flavor()) return incomparable(*flavor(), gtid.flavor());
  if (const auto* one = gtid.mariadb()) {
    if (!flavor()) rep_ = MariadbGtidSet();
    std::get<MariadbGtidSet>(rep_).add(*one);
  } else if (const auto* one = gtid.mysql()) {
    if (!flavor()) rep_ = MysqlGtidSet();
    std::get<MysqlGtidSet>(rep_).add(*one);
  } else {
    return merge(Position(*gtid.file_position()));
  }
  return {};
}

Status Position::merge(const Position& other) {
  if (!other.flavor()) return {};
  if (!flavor()) {
    *this = other;
    return {};
  }
  if (rep_.index() != other.rep_.index()) return incomparable(*flavor(), *other.flavor());
  if (auto* set = std::get_if<MariadbGtidSet>(&rep_)) {
    set->merge(*other.mariadb());
  } else if (auto* set = std::get_if<MysqlGtidSet>(&rep_)) {
    set->merge(*other.mysql());
  } else {
    ASSIGN_OR_RETURN(const int order, compare_file_positions(*file_position(), *other.file_position()));
    if (order < 0) rep_ = other.rep_;
  }
  return {};
}

Result<Position> Position::difference(const Position& other) const {
  if (!other.flavor() || !flavor()) return *this;
  if (rep_.index() != other.rep_.index()) return incomparable(*flavor(), *other.flavor());
  if (mariadb() != nullptr) return Position(mariadb()->difference(*other.mariadb()));
  if (mysql() != nullptr) return Position(mysql()->difference(*other.mysql()));
  return fail(Code::kInvalidArgument, "binary log positions name no transactions that could be subtracted");
}

std::string Position::to_string() const {
  if (mariadb() != nullptr) return mariadb()->to_string();
  if (mysql() != nullptr) return mysql()->to_string();
  if (file_position() != nullptr) return file_position()->to_string();
  return {};
}

std::string Position::prefixed_string() const {
  if (!flavor()) return {};
  return fmt::format("{}/{}", gtid_flavor_name(*flavor()), to_string());
}

}  // namespace vitrail::mysql
