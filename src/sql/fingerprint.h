#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "sql/lexer.h"
#include "sql/statement_kind.h"

namespace vitrail::sql {

// 128 bits that stand for a statement's token sequence without the values of its literals. Comparable within one
// process only: the hash is keyed with randomness drawn at start, so that nobody can prepare two statements that
// collide.
struct Fingerprint {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

// Where a literal stands. Quotes and prefixes (x'', 0x, n'') are part of it; a sign and an introducer are not.
struct LiteralPosition {
  uint32_t offset = 0;
  uint32_t length = 0;
  TokenType type = TokenType::kEnd;
  std::string_view text(std::string_view statement) const { return statement.substr(offset, length); }
};

struct FingerprintResult {
  Fingerprint fingerprint;
  StatementKind kind = StatementKind::kEmpty;
  uint32_t literal_count = 0;    // May exceed the caller's storage; the rest is not recorded then.
  uint32_t parameter_count = 0;  // '?'
  uint32_t first_offset = 0;     // Of the first token.
  uint32_t end_offset = 0;       // Behind the last token of the first statement.
  bool malformed = false;        // A kError token: the rest was not read. Do not cache; the parser explains.
  bool has_more = false;         // A token follows the first ';': several statements, or the body of a
                                 // stored program. Only what comes before the ';' is covered: do not cache.
  bool has_directive = false;    // /*vt+ ... */
  bool has_hint = false;         // /*+ ... */
  bool has_executable_comment = false;
  bool has_skipped_comment = false;  // An executable comment that this server skips; the fingerprint does not cover it.
  bool has_user_variable = false;
  bool has_system_variable = false;
  bool has_bind_variable = false;  // :name or ::list
  // A word that is the name of a function of the session: last_insert_id, found_rows, row_count, connection_id,
  // database; in whatever place.
  bool has_session_function = false;

  // Literals that fit the caller's storage.
  std::span<const LiteralPosition> literals;
};

// Reads `text` once. Kinds and number of literals, all other tokens (byte for byte: `a` and `A`, SELECT and select
// differ), hints, directives and bind variable names count; values of literals, blanks and ordinary comments do not.
// Tokens inside an executable comment that would run count as tokens, and that they stand in one counts too.
//
//   Equal fingerprints mean equal token sequences up to the values of literals, except with probability about
//   n^2 / 2^129 for n different statements seen by a process (n = 10^9: below 10^-20).
//   NULL, TRUE, FALSE are words, not literals. A list of another length is another fingerprint. A sign is an operator.
//   The value of a string that may be an alias (SELECT a AS 'x', SELECT a 'x') counts: it names a result column. The
//   text of an unnamed item does so too (SELECT 1, SELECT a + 1), and does not count: take such names from the text at
//   hand, never from a cached plan.
//   The kind of a literal (integer, decimal, float, hex, bit, string, national string) is part of the fingerprint.
//   Literals after LIMIT and OFFSET, ordinals in ORDER BY and GROUP BY, values in SET, LIKE patterns and texts of
//   PREPARE are literals like any other: a plan that looked at such a value must keep it and compare on every hit.
//   Positions are in order of appearance: the i-th belongs to the AST literal with Literal::index == i of a statement
//   with this fingerprint. Adjacent strings ('a' 'b') are two literals here and one Literal (parts > 1) there.
//
// Never allocates; `storage` belongs to the caller and `literals` points into it. Time: about 5 ns per byte.
FingerprintResult fingerprint(std::string_view text, std::span<LiteralPosition> storage,
                              const LexOptions& options = {});

}  // namespace vitrail::sql

template <>
struct std::hash<vitrail::sql::Fingerprint> {
  size_t operator()(const vitrail::sql::Fingerprint& fingerprint) const noexcept {
    return static_cast<size_t>(fingerprint.low);
  }
};
