"""Prepared statements in the binary protocol, over a PyMySQL connection (which itself speaks text only).

Source: "MySQL Internals Manual", COM_STMT_PREPARE, COM_STMT_EXECUTE, Binary Protocol Resultset.
"""

import datetime
import decimal
import struct

from pymysql.protocol import FieldDescriptorPacket, OKPacketWrapper

PREPARE, EXECUTE, SEND_LONG_DATA, CLOSE, RESET, FETCH = 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1C
TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24, DATE, TIME, DATETIME, YEAR = range(1, 14)
JSON, BLOB, VAR_STRING = 0xF5, 0xFC, 0xFD
MORE_RESULTS, CURSOR_EXISTS, LAST_ROW_SENT = 0x08, 0x40, 0x80
LONG_DATA = object()  # A parameter that was sent with SEND_LONG_DATA.
UNSIGNED = 0x20
INTEGERS = {TINY: "b", SHORT: "h", YEAR: "h", LONG: "i", INT24: "i", LONGLONG: "q"}


class Json(str):
    """A parameter of type JSON."""


def length_encoded(data):
    size = len(data)
    if size < 251:
        return bytes([size]) + data
    if size < 1 << 16:
        return b"\xfc" + struct.pack("<H", size) + data
    if size < 1 << 24:
        return b"\xfd" + struct.pack("<I", size)[:3] + data
    return b"\xfe" + struct.pack("<Q", size) + data


def encode(value):
    """(type, flags, bytes) of a parameter."""
    if value is None:
        return NULL, 0, b""
    if isinstance(value, int):
        return (LONGLONG, 0x80, struct.pack("<Q", value)) if value >= 1 << 63 else (LONGLONG, 0, struct.pack("<q", value))
    if value is LONG_DATA:
        return BLOB, 0, b""
    if isinstance(value, Json):
        return JSON, 0, length_encoded(value.encode())
    if isinstance(value, float):
        return DOUBLE, 0, struct.pack("<d", value)
    if isinstance(value, datetime.datetime):
        return DATETIME, 0, struct.pack("<BHBBBBBI", 11, value.year, value.month, value.day, value.hour, value.minute,
                                        value.second, value.microsecond)
    if isinstance(value, (str, decimal.Decimal)):
        value = str(value).encode()
    return VAR_STRING, 0, length_encoded(value)


def read(packet, kind, flags):
    """One value of a binary row."""
    if kind in INTEGERS:
        code = INTEGERS[kind]
        return struct.unpack("<" + (code.upper() if flags & UNSIGNED else code), packet.read(struct.calcsize("<" + code)))[0]
    if kind == DOUBLE:
        return struct.unpack("<d", packet.read(8))[0]
    if kind == FLOAT:
        return struct.unpack("<f", packet.read(4))[0]
    if kind in (DATE, DATETIME, TIMESTAMP):
        size = packet.read_uint8()
        data = packet.read(size)
        year, month, day = struct.unpack("<HBB", data[:4]) if size >= 4 else (0, 0, 0)
        if kind == DATE:
            return datetime.date(year, month, day)
        hour, minute, second = data[4:7] if size >= 7 else (0, 0, 0)
        micro = struct.unpack("<I", data[7:11])[0] if size == 11 else 0
        return datetime.datetime(year, month, day, hour, minute, second, micro)
    data = packet.read_length_coded_string()
    return data.decode(errors="replace") if isinstance(data, bytes) else data


class Statement:
    """A prepared statement. execute() returns rows, or (affected rows, last insert id); of a CALL its first result."""

    def __init__(self, connection, sql):
        self.connection = connection
        connection._execute_command(PREPARE, sql)
        packet = connection._read_packet()
        packet.advance(1)
        self.id = packet.read_uint32()
        columns, self.parameters = packet.read_uint16(), packet.read_uint16()
        for count in (self.parameters, columns):
            for _ in range(count):
                connection._read_packet(FieldDescriptorPacket)
            if count:
                assert connection._read_packet().is_eof_packet()
        self.columns = columns

    def send(self, values, cursor):
        assert len(values) == self.parameters, (values, self.parameters)
        body = struct.pack("<IBI", self.id, cursor, 1)
        if values:
            nulls = bytearray((len(values) + 7) // 8)
            types = data = b""
            for index, value in enumerate(values):
                kind, flags, content = encode(value)
                if value is None:
                    nulls[index // 8] |= 1 << index % 8
                types += bytes([kind, flags])
                data += content
            body += bytes(nulls) + b"\x01" + types + data
        self.connection._execute_command(EXECUTE, body)

    def execute(self, *values):
        self.send(values, 0)
        columns = self.read_columns()
        if isinstance(columns, tuple):
            return columns
        rows, flags = self.read_rows()
        fields = self.fields
        while flags & MORE_RESULTS:
            flags = 0 if isinstance(self.read_columns(), tuple) else self.read_rows()[1]
        self.fields = fields
        return rows

    def open_cursor(self, *values):
        """(status flags, None) when there is a cursor now; else what execute() returns in the place of None."""
        self.send(values, 1)
        columns = self.read_columns()
        if isinstance(columns, tuple):
            return None, columns
        if columns & CURSOR_EXISTS:
            return columns, None
        rows, flags = self.read_rows()
        return flags, rows

    def fetch(self, count):
        """The next rows of the cursor, and the status flags behind them."""
        self.connection._execute_command(FETCH, struct.pack("<II", self.id, count))
        return self.read_rows()

    def read_columns(self):
        """The status flags behind the columns, or (affected rows, last insert id)."""
        packet = self.connection._read_packet()
        if packet.is_ok_packet():
            ok = OKPacketWrapper(packet)
            return ok.affected_rows, ok.insert_id
        self.fields = [self.connection._read_packet(FieldDescriptorPacket)
                       for _ in range(packet.read_length_encoded_integer())]
        return self.read_end(self.connection._read_packet())

    @staticmethod
    def read_end(packet):
        assert packet.is_eof_packet()
        packet.advance(3)
        return packet.read_uint16()

    def read_rows(self):
        rows = []
        while True:
            packet = self.connection._read_packet()
            if packet.is_eof_packet():
                return rows, self.read_end(packet)
            packet.advance(1)
            nulls = packet.read((len(self.fields) + 9) // 8)
            rows.append(tuple(None if nulls[(i + 2) // 8] >> (i + 2) % 8 & 1 else read(packet, f.type_code, f.flags)
                              for i, f in enumerate(self.fields)))

    def close(self):
        self.connection._execute_command(CLOSE, struct.pack("<I", self.id))
