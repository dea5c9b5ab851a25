<?php
// The configuration of every MediaWiki site of this image. What differs is read from the site's own file.

if (!defined('MEDIAWIKI')) {
    exit;
}
$espalier = json_decode((string) @file_get_contents((string) getenv('ESPALIER_SITE_FILE')), true);
if (!is_array($espalier)) {
    http_response_code(503);
    exit("This command or request belongs to no site: ESPALIER_SITE_FILE names no readable file.\n");
}

$wgServer = $wgCanonicalServer = $espalier['url'];
$wgSitename = $espalier['title'];
// Namespaces allow less than titles do.
$wgMetaNamespace = trim(preg_replace('/[\s:<>\[\]{}|#_]+/u', '_', $wgSitename), '_') ?: 'Project';
$wgLanguageCode = $espalier['settings']['language'] ?? 'en';
$wgScriptPath = '';
$wgArticlePath = '/wiki/$1';
$wgUsePathInfo = true;
$wgResourceBasePath = '';
$wgLogos = false;

$wgDBtype = 'mysql';
$wgDBserver = $espalier['database']['host'] . ':' . $espalier['database']['port'];
$wgDBname = $espalier['database']['name'];
$wgDBuser = $espalier['database']['user'];
$wgDBpassword = $espalier['database']['password'];
$wgDBprefix = $espalier['settings']['tablePrefix'] ?? '';
$wgDBTableOptions = 'ENGINE=InnoDB, DEFAULT CHARSET=binary';

// The account of a site may only touch keys with its prefix, and MediaWiki's own keys begin with many words.
class EspalierCache extends RedisBagOStuff
{
    private string $prefix;

    public function __construct($params)
    {
        $this->prefix = $params['espalierPrefix'];
        parent::__construct($params);
    }

    protected function getConnectionsForKeys(array $keys)
    {
        $found = parent::getConnectionsForKeys($keys);
        foreach ($found[1] as $connection) {
            $connection->setOption(Redis::OPT_PREFIX, $this->prefix);
        }
        return $found;
    }
}
$wgObjectCaches['valkey'] = [
    'class' => EspalierCache::class,
    'servers' => [$espalier['cache']['host'] . ':' . $espalier['cache']['port']],
    'password' => [$espalier['cache']['user'], $espalier['cache']['password']],
    'espalierPrefix' => $espalier['cache']['prefix'],
    'connectTimeout' => 2,
    'automaticFailover' => false,
];
$wgMainCacheType = $wgSessionCacheType = $wgMessageCacheType = 'valkey';
// Rendered pages are many and large: they belong where they can stay.
$wgParserCacheType = CACHE_DB;

// Built with the image, as PHP that stays compiled; a language that is not in it falls back to English.
$wgLocalisationCacheConf = [
    'class' => LocalisationCache::class,
    'store' => 'array',
    'storeClass' => false,
    'storeDirectory' => '/usr/lib/espalier/app/localisation',
    'storeServer' => [],
    'forceRecache' => false,
    'manualRecache' => true,
];

$wgEnableUploads = true;
$wgUploadDirectory = '/srv/content/' . $espalier['site'] . '/images';
$wgUploadPath = '/images';
$wgDeletedDirectory = '/srv/content/' . $espalier['site'] . '/deleted';
$wgDirectoryMode = 0750;
$wgTmpDirectory = sys_get_temp_dir();
$wgUseImageMagick = false;
$wgFileExtensions = ['png', 'gif', 'jpg', 'jpeg', 'webp', 'pdf'];
$wgMaxUploadSize = $espalier['limits']['uploadMb'] * 1024 * 1024;

$wgSecretKey = $espalier['secrets']['secretKey'];
$wgUpgradeKey = $espalier['secrets']['upgradeKey'];
$wgAuthenticationTokenVersion = '1';
unset($espalier);

// The queue is run by one of the site's tasks, never by a visitor.
$wgJobRunRate = 0;
$wgEnableEmail = false;
$wgPingback = false;
$wgDiff3 = '/usr/bin/diff3';
$wgDefaultSkin = 'vector-2022';

wfLoadSkins(['MinervaNeue', 'MonoBook', 'Timeless', 'Vector']);
// None of these needs tables of its own.
wfLoadExtensions([
    'CategoryTree', 'Cite', 'ImageMap', 'InputBox', 'Interwiki', 'MultimediaViewer', 'Nuke', 'PageImages',
    'ParserFunctions', 'Poem', 'TemplateData', 'TextExtracts', 'VisualEditor', 'WikiEditor',
]);
