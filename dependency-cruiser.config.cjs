/**
 * Imports run downwards only: a folder may import from the folders after it in this list, never from those before it.
 */
const floors = [
  'cli',
  'commands',
  'doctor',
  'cleanup',
  'agent',
  'control-plane',
  'host',
  'engine',
  'support',
];

const upwards = floors.map((floor, index) => ({
  name: `no-import-upwards-from-${floor}`,
  severity: 'error',
  from: { path: `^src/${floor}/` },
  to: { path: `^src/(main\\.ts|(${floors.slice(0, index).join('|') || 'nothing-above'})/)` },
}));

module.exports = {
  forbidden: [
    ...upwards,
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'product-never-imports-tests-or-scripts',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts)/' },
    },
    {
      name: 'only-engine-imports-dockerode',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engine/' },
      to: { path: 'dockerode' },
    },
    {
      name: 'nothing-unresolved',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
