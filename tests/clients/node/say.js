// What the scenarios share: a step is a line of JSON.
exports.plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? Number(v) : v)));
exports.say = (step, value) => console.log(JSON.stringify([step, exports.plain(value === undefined ? null : value)]));
exports.main = (scenario) => scenario(...process.argv.slice(2)).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
