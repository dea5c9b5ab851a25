<?php
// Replaces addresses in the newest text of the pages that link to them, by an edit each, as a bot: what a page was before stays in its
// history, and its checksums stay right. Pages are found by MediaWiki's own table of external links. Safe to repeat.

use MediaWiki\CommentStore\CommentStoreComment;
use MediaWiki\ExternalLinks\LinkFilter;
use MediaWiki\Maintenance\Maintenance;
use MediaWiki\Revision\SlotRecord;
use MediaWiki\User\User;

class EspalierRewrite extends Maintenance
{
    public function execute(): bool
    {
        $wanted = json_decode($this->getStdin(Maintenance::STDIN_ALL), true, 8, JSON_THROW_ON_ERROR);
        [$scheme, $host] = explode('://', $wanted['to'], 2);
        usort($wanted['from'], static fn($one, $other) => strlen($other) <=> strlen($one));
        $olds = implode('|', array_map(static fn($old) => preg_quote($old, '~'), $wanted['from']));
        // Not where the name goes on: acme.org is not acme.organic.
        $pattern = "~(https?:)?//(?:$olds)(?![\\w-]|\\.\\w|:\\d)~i";
        $services = $this->getServiceContainer();
        $user = User::newSystemUser('Maintenance script', ['steal' => true]);
        $pages = 0;
        foreach ($this->findPages($wanted['from']) as $id) {
            $page = $services->getWikiPageFactory()->newFromID((int) $id);
            $content = $page?->getContent();
            if (!$content instanceof TextContent && !$content instanceof MediaWiki\Content\TextContent) continue;
            $text = $content->getText();
            $new = preg_replace_callback($pattern, static fn($found) => (($found[1] ?? '') === '' ? '' : "$scheme:") . "//$host", $text);
            if ($new === null || $new === $text) continue;
            $updater = $page->newPageUpdater($user);
            $updater->setContent(SlotRecord::MAIN, $services->getContentHandlerFactory()->getContentHandler($content->getModel())->unserializeContent($new));
            $updater->saveRevision(CommentStoreComment::newUnsavedComment('The address of this wiki changed'), EDIT_UPDATE | EDIT_MINOR | EDIT_FORCE_BOT | EDIT_SUPPRESS_RC);
            if (!$updater->wasSuccessful()) $this->fatalError("{$page->getTitle()->getPrefixedText()} was not saved");
            $pages += 1;
        }
        $this->output("$pages pages\n");
        return true;
    }

    /** Ids of pages that link to one of the hosts. */
    private function findPages(array $hosts): array
    {
        $db = $this->getDB(DB_REPLICA);
        $indexes = [];
        foreach ($hosts as $host) {
            foreach (['http', 'https'] as $scheme) {
                foreach (LinkFilter::makeIndexes("$scheme://$host/") as [$domain]) $indexes[] = $domain;
            }
        }
        return array_unique($db->newSelectQueryBuilder()->select('el_from')->from('externallinks')
            ->where(['el_to_domain_index' => array_unique($indexes)])->caller(__METHOD__)->fetchFieldValues());
    }
}

return EspalierRewrite::class;
